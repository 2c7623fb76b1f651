"""The GPU runtime: states stay on the device, closed switches write nothing.

Needs the `gpu` extra. The device `cpu` is for tests: its kernels run in Triton's interpreter if
`TRITON_INTERPRET=1` was set before the first import, and torch's own operations run anywhere.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surnn.errors import (
    DeviceLost,
    DeviceMemory,
    InvalidConfig,
    InvalidShape,
    MissingDependency,
)
from surnn.fingerprint import fingerprint
from surnn.runtimes.base import FrameBlock
from surnn.runtimes.onnx import pad_batch
from surnn.spec import Cell, ModelSpec
from surnn.state import Pool, Slot
from surnn.types import Float32, Int64

try:
    import torch

    from surnn.checkpoint import load
    from surnn.nn import Network
    from surnn.runtimes.device_copies import copies_for
    from surnn.runtimes.device_errors import device_errors
    from surnn.runtimes.device_graphs import Recordings, record_cuda, record_nothing
    from surnn.runtimes.device_pool import DevicePool
    from surnn.runtimes.device_stack import NetworkStack, Stack, fused_dense
except ImportError as error:
    raise MissingDependency(
        f"the GPU runtime needs {error.name}, expected an installation with "
        "pip install 'surnn[gpu]'"
    ) from error

__all__ = ["CudaRuntime", "DevicePath"]

_FRAMES = 16_384
"""Frames that one part of a batch carries at most: bounds its memory, and lets the next part's
samples travel meanwhile."""


class DevicePath(StrEnum):
    """How a device computes."""

    AUTO = "auto"
    """Kernels where all cells have one, else torch."""
    KERNELS = "kernels"
    TORCH = "torch"
    """torch's own operations: any cell."""
    CUDNN = "cudnn"
    """torch's GRU with the switches as inputs: dense, for comparison."""


class CudaRuntime:
    """Runs a saved network on a GPU. Holds weights, no state; one thread at a time.

    Args:
        network: what to run.
        device: `cuda`, `cuda:1`, or `cpu` in tests.
        path: how to compute.
        half: store matrices in 16 bits; results then differ by about 1e-3 (kernels only).
        precision: of float32 products: `ieee`, or `tf32x3` on tensor cores (kernels only).
        graphs: launch small batches as CUDA graphs.
    """

    name = "cuda"
    atomic = True

    def __init__(
        self,
        network: Network,
        device: str = "cuda",
        *,
        path: DevicePath = DevicePath.AUTO,
        half: bool = False,
        precision: str = "ieee",
        graphs: bool = True,
    ) -> None:
        self.spec: ModelSpec = network.spec
        state = {k: v.detach().cpu().numpy() for k, v in network.state_dict().items()}
        self.fingerprint = fingerprint(self.spec, state)
        self.device = torch.device(device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise InvalidConfig(f"device is {device!r}, but torch finds no CUDA device")
        self.path = _choose(self.spec, path)
        self.lost = False
        """Did the device fail? Then every call does."""
        self._recordings: weakref.WeakKeyDictionary[Pool, Recordings] = weakref.WeakKeyDictionary()
        self._graphs = graphs
        with device_errors():
            self.stack = _build(network, self.device, self.path, half, precision)
            self._copies = copies_for(self.device)

    @classmethod
    def open(cls, directory: Path, device: str = "cuda") -> CudaRuntime:
        """Load a saved model's folder. Raises `UnknownModel` or `CorruptModel`."""
        return cls(load(directory), device)

    def new_pool(self, capacity: int) -> DevicePool:
        """A pool on the device. Raises `DeviceMemory`."""
        return DevicePool(self.spec.states, capacity, self.device)

    def run(self, pool: Pool, slots: Sequence[Slot], frames: Sequence[Float32]) -> list[FrameBlock]:
        """See `Runtime.run`. Raises `DeviceMemory`, with no state changed, or `DeviceLost`."""
        if not isinstance(pool, DevicePool):
            raise InvalidShape(f"pool is a {type(pool).__name__}, expected one of this runtime's")
        if len(slots) != len(frames):
            raise InvalidShape(
                f"{len(frames)} arrays of frames, expected one for each of {len(slots)} slots"
            )
        batch, lengths = pad_batch(frames, self.spec.frame_size)
        numbers = self.compute(pool, pool.rows(slots), batch, lengths)
        labels = len(self.spec.labels)
        return [
            FrameBlock(row[:count, :labels].copy(), row[:count, labels:].copy())
            for row, count in zip(numbers, lengths.tolist(), strict=True)
        ]

    def compute(
        self, pool: DevicePool, rows: NDArray[np.intp], batch: Float32, lengths: Int64
    ) -> Float32:
        """`run` without an object for each session: logits and open neurons [B, T, C + L].

        Args:
            pool: where the sessions' states are.
            rows: each session's row (`Pool.rows`), [B].
            batch: frames [B, T, S], zeros behind a session's length.
            lengths: frames of each session [B].
        """
        if self.lost:
            raise DeviceLost("device was lost earlier, expected a restart of the server")
        try:
            with device_errors():
                return self._parts(pool, rows, batch, lengths)
        except DeviceLost:
            self.lost = True
            raise

    def _parts(
        self, pool: DevicePool, rows: NDArray[np.intp], batch: Float32, lengths: Int64
    ) -> Float32:
        sessions, steps, _ = batch.shape
        if not sessions or not steps:
            width = len(self.spec.labels) + len(self.spec.layers)
            return np.zeros((sessions, steps, width), np.float32)
        waiting = deque(_pieces(0, sessions, max(1, _FRAMES // steps)))
        results: list[torch.Tensor] = []
        while waiting:
            begin, end = waiting.popleft()
            part = slice(begin, end)
            try:
                with device_errors():
                    result = self._part(pool, rows[part], batch[part], lengths[part])
            except DeviceMemory as error:
                if end - begin > 1:
                    self._make_room()
                    waiting.extendleft(reversed(_pieces(begin, end, (end - begin + 1) // 2)))
                    continue
                if results:
                    # Some sessions have moved on and cannot be told apart from those that have not.
                    raise DeviceLost(f"states are out of step: {error}") from error
                raise
            results.append(self._copies.download(result))
        self._copies.finish()
        pool.times[rows] += lengths
        # A copy: the memory belongs to the next call.
        return np.concatenate([result.numpy() for result in results])

    def _make_room(self) -> None:
        """Give back what is kept for later use."""
        self._recordings.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _part(
        self, pool: DevicePool, rows: NDArray[np.intp], batch: Float32, lengths: Int64
    ) -> torch.Tensor:
        copies = self._copies
        frames = copies.room(batch.shape, torch.float32)
        frames.numpy()[:] = batch
        places = copies.room((2, len(rows)), torch.int64)
        places.numpy()[:] = rows, lengths
        on_device, where = copies.upload(frames), copies.upload(places)
        own_rows, own_lengths = where[0], where[1].to(torch.int32)
        if self._graphs and self.stack.recordable and Recordings.suits(len(rows), batch.shape[1]):
            return self._recorded(pool)(on_device, own_rows, own_lengths)
        times = pool.times[rows]
        in_step = bool((times == times[0]).all() and (lengths == lengths[0]).all())
        return self.stack(pool.tensors, on_device, own_rows, own_lengths, in_step=in_step)

    def _recorded(self, pool: DevicePool) -> Recordings:
        if pool not in self._recordings:
            record = record_cuda if self.device.type == "cuda" else record_nothing
            self._recordings[pool] = Recordings(self.stack, pool, self.spec.frame_size, record)
        return self._recordings[pool]


def _pieces(begin: int, end: int, size: int) -> list[tuple[int, int]]:
    """The range in pieces of at most that size."""
    return [(first, min(first + size, end)) for first in range(begin, end, size)]


def _choose(spec: ModelSpec, path: DevicePath) -> DevicePath:
    if path is not DevicePath.AUTO:
        return path
    known = all(layer.cell is Cell.SUGRU for layer in spec.layers)
    return DevicePath.KERNELS if known and find_spec("triton") else DevicePath.TORCH


def _build(
    network: Network, device: torch.device, path: DevicePath, half: bool, precision: str
) -> Stack:
    if path is DevicePath.KERNELS:
        if find_spec("triton") is None:
            raise MissingDependency("kernels need triton: pip install 'surnn[gpu]'")
        from surnn.runtimes.device_kernels import KernelStack

        return KernelStack(network, device, half=half, precision=precision)
    if half:
        raise InvalidConfig(f"half is for kernels, and the path is {path.value!r}")
    network = network.to(device)
    return fused_dense(network) if path is DevicePath.CUDNN else NetworkStack(network)
