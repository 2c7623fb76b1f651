"""Causal convolution and ReLU of many sessions: `surnn.nn.encoder.Encoder`.

Rows of features lie one after the other, so the frames that one output looks at are one stretch of
numbers, and the convolution is a product with a matrix. Each output is summed in one order,
whatever the batch and the chunking, and in float64: hundreds of terms cancel here, and the layers
behind magnify what float32 would lose a hundred times.
"""

from __future__ import annotations

import numpy as np

from surnn.kernels.cache import inline, kernel
from surnn.kernels.simd import doubles8, fma, load, load_splat, maximum, narrow, store, zeros8

__all__ = ["encode"]

_AT_ONCE = 5
"""Frames that share what is read of the weights: as many sums as hide each other's wait, and a
chunk of 100 ms has twice as many."""


@inline
def _five_frames(v, a, b, c, d, e, weights, block, bias, out):
    """16 outputs of one block, for the windows that begin at a, b, c, d, e of v: out [5, 16]."""
    like = doubles8()
    size = weights.shape[1]
    a0, a1 = load(bias, 16 * block, like), load(bias, 16 * block + 8, like)
    b0, b1, c0, c1, d0, d1, e0, e1 = a0, a1, a0, a1, a0, a1, a0, a1
    at = 16 * block * size
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
        value = load_splat(v, e + k, like)
        e0, e1 = fma(low, value, e0), fma(high, value, e1)
        at += 16
    _keep(out, 0, a0, a1)
    _keep(out, 16, b0, b1)
    _keep(out, 32, c0, c1)
    _keep(out, 48, d0, d1)
    _keep(out, 64, e0, e1)


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
        weights: float64 [W' / 16, frames * F, 16], W' padded to a multiple of 16.
        bias: float64 [W'].
        out: float32 [N, W], filled.
    """
    width, step = out.shape[1], features.shape[1]
    history = past.shape[1] * step
    total, sessions = len(out), len(rows)
    v = np.empty(sessions * history + total * step, np.float64)
    # Where each frame's window begins; the last frame again, until all rounds are full.
    begins = np.empty(total + _AT_ONCE, np.int64)
    at = 0
    for b in range(sessions):
        first, count = offsets[b], offsets[b + 1] - offsets[b]
        _copy(past, rows[b] * history, v, at, history)
        _copy(features, first * step, v, at + history, count * step)
        for i in range(count):
            begins[first + i] = at + i * step
        at += count * step
        _copy(v, at, past, rows[b] * history, history)
        at += history
    if total:
        begins[total:] = begins[total - 1]
    five = np.empty(16 * _AT_ONCE, np.float32)
    for block in range(len(weights)):
        wide = min(16, width - 16 * block)
        for frame in range(0, total, _AT_ONCE):
            _five_frames(
                v, begins[frame], begins[frame + 1], begins[frame + 2], begins[frame + 3],
                begins[frame + 4], weights, block, bias, five,
            )  # fmt: skip
            for i in range(min(_AT_ONCE, total - frame)):
                for j in range(wide):
                    out[frame + i, 16 * block + j] = five[16 * i + j]
