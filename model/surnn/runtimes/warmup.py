"""Compile every kernel that a model's streams will use, whatever the size of their batches."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from surnn.model import load
from surnn.runtimes.native import NativeRuntime

__all__ = ["warm_up"]

_MANY = 64
"""Sessions enough for the kernels that share weights between them."""


def warm_up(name: str | Path) -> tuple[float, tuple[str, ...]]:
    """Run a model natively, alone and in a batch; seconds that took, and its layers' kernels.

    Raises what `surnn.load` raises.
    """
    began = time.perf_counter()
    runtime = load(name, runtime="native").runtime
    assert isinstance(runtime, NativeRuntime)
    pool = runtime.new_pool(_MANY)
    slots = [pool.acquire() for _ in range(_MANY)]
    frames = np.zeros((2, runtime.spec.frame_size), np.float32)
    for count in (1, _MANY):
        runtime.run(pool, slots[:count], [frames] * count)
    return time.perf_counter() - began, runtime.kernels
