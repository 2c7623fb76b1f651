"""Copies between host and device that run beside the computing."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Copies", "DeviceCopies", "HostCopies", "copies_for"]


class Copies(Protocol):
    """Moves the parts of one call. Buffers are used again by the next call, not before."""

    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Memory on the host that `upload` reads from. Its content is undefined."""
        ...

    def upload(self, tensor: Tensor) -> Tensor:
        """The same on the device."""
        ...

    def download(self, tensor: Tensor) -> Tensor:
        """The same on the host: to be read after `finish`."""
        ...

    def finish(self) -> None:
        """Wait for everything."""
        ...


class HostCopies:
    """No copies: the device is the host."""

    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """See `Copies`."""
        return torch.empty(shape, dtype=dtype)

    def upload(self, tensor: Tensor) -> Tensor:
        """See `Copies`."""
        return tensor

    def download(self, tensor: Tensor) -> Tensor:
        """See `Copies`."""
        return tensor

    def finish(self) -> None:
        """See `Copies`."""


class DeviceCopies:
    """Pinned memory, and a stream of its own for each direction.

    Pinned memory is slow to get: it is kept, in sizes of powers of two, and handed out again from
    the start of the next call.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._in = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._out = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._free: dict[int, list[Tensor]] = {}
        self._used: list[Tensor] = []

    def room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """See `Copies`."""
        count = 1
        for size in shape:
            count *= size
        needed = max(4096, 1 << (count * dtype.itemsize - 1).bit_length()) if count else 4096
        kept = self._free.setdefault(needed, [])
        buffer = kept.pop() if kept else torch.empty(needed, dtype=torch.uint8, pin_memory=True)
        self._used.append(buffer)
        return buffer[: count * dtype.itemsize].view(dtype).view(shape)

    def upload(self, tensor: Tensor) -> Tensor:
        """See `Copies`."""
        compute = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._in):
            copied = tensor.to(self._device, non_blocking=True)
        compute.wait_stream(self._in)
        # The allocator must not give it away while the other stream still reads it.
        copied.record_stream(compute)
        return copied

    def download(self, tensor: Tensor) -> Tensor:
        """See `Copies`."""
        target = self.room(tuple(tensor.shape), tensor.dtype)
        self._out.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._out):
            target.copy_(tensor, non_blocking=True)
        tensor.record_stream(self._out)
        return target

    def finish(self) -> None:
        """See `Copies`."""
        torch.cuda.current_stream(self._device).synchronize()
        self._out.synchronize()
        for buffer in self._used:
            self._free[buffer.numel()].append(buffer)
        self._used.clear()


def copies_for(device: torch.device) -> Copies:
    """What a device needs."""
    return DeviceCopies(device) if device.type == "cuda" else HostCopies()
