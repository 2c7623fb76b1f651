"""Loops that do nothing but read, or nothing but multiply: what a kernel could do at best."""

from __future__ import annotations

import numpy as np

from surnn.kernels.cache import kernel
from surnn.kernels.simd import fma, load, pick, splat, zeros16

__all__ = ["multiply", "read"]

_FACTOR = np.float32(0.999)


@kernel
def read(array, repeats):
    """Read float32 [n], n a multiple of 128, again and again."""
    like = zeros16()
    s, t, u, v, w, x, y, z = like, like, like, like, like, like, like, like
    for _ in range(repeats):
        for i in range(0, len(array), 128):
            s, t = s + load(array, i, like), t + load(array, i + 16, like)
            u, v = u + load(array, i + 32, like), v + load(array, i + 48, like)
            w, x = w + load(array, i + 64, like), x + load(array, i + 80, like)
            y, z = y + load(array, i + 96, like), z + load(array, i + 112, like)
    return pick(s + t + u + v + w + x + y + z, 0)


@kernel
def multiply(repeats):
    """160 fused multiply-adds of one number each, again and again."""
    like = zeros16()
    a = splat(_FACTOR, like)
    s, t, u, v, w, x, y, z = like, like, like, like, like, like, like, like
    p, q = like, like
    for _ in range(repeats):
        s, t, u, v = fma(s, a, a), fma(t, a, a), fma(u, a, a), fma(v, a, a)
        w, x, y, z = fma(w, a, a), fma(x, a, a), fma(y, a, a), fma(z, a, a)
        p, q = fma(p, a, a), fma(q, a, a)
    return pick(s + t + u + v + w + x + y + z + p + q, 0)
