"""Functions that several kernels share."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["gru", "tanh"]


@triton.jit
def tanh(a):
    """tanh from exp of what is not positive: no overflow, no cancellation behind the point."""
    e = tl.exp(-2.0 * tl.abs(a))
    m = (1.0 - e) / (1.0 + e)
    return tl.where(a < 0.0, -m, m)


@triton.jit
def gru(z, r, nx, nh, h):
    """The new state of a gated recurrent unit from the sums of its gates (`surnn.nn.cells`)."""
    z = tl.sigmoid(z)
    n = tanh(nx + tl.sigmoid(r) * nh)
    return (1.0 - z) * n + z * h
