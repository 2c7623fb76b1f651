"""What the machine could do at best: reading memory, and multiplying.

A step's least time is that of reading each weight it needs once, or of multiplying with it, as
measured here with loops that do nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import numpy as np

from surnn.kernels.packing import aligned
from surnn.kernels.probes import multiply, read

__all__ = ["fma_gflops", "least_time_us", "read_gbytes"]

_TRIES = 7
_BYTES = 4_000_000


@cache
def read_gbytes(size: int) -> float:
    """Gigabytes per second when the same `size` bytes are read again and again."""
    count = max(128, size // 4 // 128 * 128)
    array = aligned(np.zeros(count, np.float32))
    repeats = max(1, _BYTES // (4 * count))
    read(array, 1)
    best = min(_timed(lambda: read(array, repeats)) for _ in range(_TRIES))
    return 4 * count * repeats / best


@cache
def fma_gflops() -> float:
    """Floating-point operations per nanosecond of fused multiply-adds."""
    repeats = 20_000
    multiply(1)
    best = min(_timed(lambda: multiply(repeats)) for _ in range(_TRIES))
    return 10 * 32 * repeats / best


def least_time_us(size: float, flops: float, working_set: int) -> float:
    """Microseconds that reading `size` bytes or computing `flops` takes at best."""
    return max(size / read_gbytes(working_set), flops / fma_gflops()) / 1000


def _timed(function: Callable[[], object]) -> int:
    began = time.thread_time_ns()
    function()
    return time.thread_time_ns() - began
