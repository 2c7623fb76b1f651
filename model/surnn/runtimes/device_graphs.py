"""CUDA graphs: small batches are launched whole, not kernel by kernel.

A graph is a recording over fixed memory, so batches are padded to a power of two with sessions
that have no frames and point to the pool's last row.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

from surnn.runtimes.device_pool import DevicePool
from surnn.runtimes.device_stack import Stack

__all__ = ["Recorder", "Recordings", "record_cuda", "record_nothing"]

Recorder = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]
"""Takes a computation; gives its replay, and the tensor that each replay fills."""

MOST_SESSIONS, MOST_FRAMES, MOST_RECORDINGS = 64, 20, 32


def record_cuda(compute: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record a CUDA graph."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):  # compiles kernels, which a recording cannot
            compute()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = compute()
    return graph.replay, result


def record_nothing(compute: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """In place of a recording, where there is no CUDA: compute again."""
    result = compute()

    def replay() -> None:
        result.copy_(compute())

    return replay, result


class _Recording:
    """The computation of one shape of batch."""

    def __init__(
        self, stack: Stack, pool: DevicePool, batch: int, steps: int, size: int, record: Recorder
    ) -> None:
        device = pool.device
        self._nobody = pool.capacity
        self._frames = torch.zeros(batch, steps, size, device=device)
        self._rows = torch.full((batch,), self._nobody, dtype=torch.int64, device=device)
        self._lengths = torch.zeros(batch, dtype=torch.int32, device=device)
        # No session has a frame yet: recording leaves every state as it is.
        self._replay, self._result = record(
            lambda: stack(pool.tensors, self._frames, self._rows, self._lengths, in_step=False)
        )

    def __call__(self, frames: Tensor, rows: Tensor, lengths: Tensor) -> Tensor:
        count = len(rows)
        self._frames[:count].copy_(frames)
        self._rows.fill_(self._nobody)
        self._rows[:count].copy_(rows)
        self._lengths.zero_()
        self._lengths[:count].copy_(lengths)
        self._replay()
        # The next replay writes over it.
        return self._result[:count].clone()


class Recordings:
    """The recordings over one pool; the one that was not used for longest goes first."""

    def __init__(self, stack: Stack, pool: DevicePool, size: int, record: Recorder) -> None:
        self._stack, self._pool, self._size, self._record = stack, pool, size, record
        self._kept: OrderedDict[tuple[int, int], _Recording] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @staticmethod
    def suits(sessions: int, steps: int) -> bool:
        """Is a batch so small that launching costs more than computing?"""
        return 0 < sessions <= MOST_SESSIONS and 0 < steps <= MOST_FRAMES

    def __call__(self, frames: Tensor, rows: Tensor, lengths: Tensor) -> Tensor:
        """As a `Stack`, over this pool."""
        batch, steps = 1 << (len(rows) - 1).bit_length(), frames.shape[1]
        key = batch, steps
        if key not in self._kept:
            if len(self._kept) >= MOST_RECORDINGS:
                self._kept.popitem(last=False)
            self._kept[key] = _Recording(
                self._stack, self._pool, batch, steps, self._size, self._record
            )
        self._kept.move_to_end(key)
        return self._kept[key](frames, rows, lengths)
