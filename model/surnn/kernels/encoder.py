"""Causal convolution and ReLU of many sessions: `surnn.nn.encoder.Encoder`.

Rows of features lie one after the other, so the frames that one output looks at are one stretch of
numbers, and the convolution is a product with a matrix. Each output is summed in one order,
whatever the batch and the chunking, and in float64: hundreds of terms cancel here, and the layers
behind magnify what float32 would lose a hundred times.
"""

from __future__ import annotations

import numpy as np

from surnn.kernels.cache import inline, kernel
from surnn.kernels.head import numbers
from surnn.kernels.simd import doubles8, fma, load, load_splat, maximum, narrow, store, zeros8

__all__ = ["encode"]


@inline
def _four_frames(v, a, b, c, d, weights, bias, column, width, out):
    """16 outputs from `column` on, for the windows that begin at a, b, c, d of v: out [4, 16]."""
    like = doubles8()
    size = len(weights)
    a0, a1 = load(bias, column, like), load(bias, column + 8, like)
    b0, b1, c0, c1, d0, d1 = a0, a1, a0, a1, a0, a1
    at = column
    for k in range(size):
        low, high = load(weights, at, like), load(weights, at + 8, like)
        value = load_splat(v, a + k, like)
        a0, a1 = fma(low, value, a0), fma(high, value, a1)
        value = load_splat(v, b + k, like)
        b0, b1 = fma(low, value, b0), fma(high, value, b1)
        value = load_splat(v, c + k, like)
        c0, c1 = fma(low, value, c0), fma(high, value, c1)
        value = load_splat(v, d + k, like)
        d0, d1 = fma(low, value, d0), fma(high, value, d1)
        at += width
    _keep(out, 0, a0, a1)
    _keep(out, 16, b0, b1)
    _keep(out, 32, c0, c1)
    _keep(out, 48, d0, d1)


@inline
def _keep(out, at, low, high):
    store(out, at, maximum(narrow(low), zeros8()))
    store(out, at + 8, maximum(narrow(high), zeros8()))


@inline
def _copy(source, begin, target, place, count):
    """target[place : place + count] = source[begin : begin + count], in memory order."""
    flat_source, flat_target = source.reshape(-1), target.reshape(-1)
    for k in range(count):
        flat_target[place + k] = flat_source[begin + k]


@kernel
def encode(features, offsets, rows, past, weights, bias, out):
    """Encode the frames of all sessions; moves each session's past on.

    Args:
        features: float32 [N, F].
        offsets: each session's first of the N frames, and N: int64 [B + 1].
        rows: each session's row of `past`, [B].
        past: features before the next frame, float32 [capacity, frames - 1, F], updated in place.
        weights: float64 [frames * F, W'], W' padded to a multiple of 16.
        bias: float64 [W'].
        out: float32 [N, W], filled.
    """
    padded = weights.shape[1]
    width, step = out.shape[1], features.shape[1]
    history = past.shape[1] * step
    longest = 0
    for b in range(len(rows)):
        longest = max(longest, offsets[b + 1] - offsets[b])
    v = np.zeros(history + longest * step, np.float64)
    four = numbers(64)
    for b in range(len(rows)):
        first, count = offsets[b], offsets[b + 1] - offsets[b]
        _copy(past, rows[b] * history, v, 0, history)
        _copy(features, first * step, v, history, count * step)
        _copy(v, count * step, past, rows[b] * history, history)
        for frame in range(0, count, 4):
            last = (count - 1) * step
            a = frame * step
            for column in range(0, width, 16):
                _four_frames(
                    v, a, min(a + step, last), min(a + 2 * step, last), min(a + 3 * step, last),
                    weights, bias, column, padded, four,
                )  # fmt: skip
                for i in range(min(4, count - frame)):
                    for j in range(min(16, width - column)):
                        out[first + frame + i, column + j] = four[16 * i + j]
