"""Causal convolution and ReLU of many sessions: `surnn.nn.encoder.Encoder`.

Rows of features lie one after the other, so the frames that one output looks at are one stretch of
numbers, and the convolution is a product with a matrix. Each output is summed in one order,
whatever the batch and the chunking.
"""

from __future__ import annotations

from surnn.kernels.cache import inline, kernel
from surnn.kernels.head import copy_flat, numbers
from surnn.kernels.simd import fma, load, load_splat, maximum, store, zeros16

__all__ = ["encode"]


@inline
def _four_frames(v, a, b, c, d, weights, bias, column, step, width, out):
    """32 outputs from `column` on, for the windows that begin at a, b, c, d of v: out [4, 32].

    Each frame of a window has a sum of its own: in one sum of all, every term would be rounded to
    the last bit of a total of several hundred terms.
    """
    like = zeros16()
    size = len(weights) // width
    for i in range(0, 128, 32):
        store(out, i, load(bias, column, like))
        store(out, i + 16, load(bias, column + 16, like))
    at = column
    for begin in range(0, size, step):
        a0, a1, b0, b1, c0, c1, d0, d1 = like, like, like, like, like, like, like, like
        for k in range(begin, begin + step):
            low, high = load(weights, at, like), load(weights, at + 16, like)
            value = load_splat(v, a + k, like)
            a0, a1 = fma(low, value, a0), fma(high, value, a1)
            value = load_splat(v, b + k, like)
            b0, b1 = fma(low, value, b0), fma(high, value, b1)
            value = load_splat(v, c + k, like)
            c0, c1 = fma(low, value, c0), fma(high, value, c1)
            value = load_splat(v, d + k, like)
            d0, d1 = fma(low, value, d0), fma(high, value, d1)
            at += width
        _add(out, 0, a0, a1)
        _add(out, 32, b0, b1)
        _add(out, 64, c0, c1)
        _add(out, 96, d0, d1)
    for i in range(0, 128, 16):
        store(out, i, maximum(load(out, i, like), like))


@inline
def _add(out, at, low, high):
    store(out, at, load(out, at, low) + low)
    store(out, at + 16, load(out, at + 16, low) + high)


@kernel
def encode(features, offsets, rows, past, weights, bias, out):
    """Encode the frames of all sessions; moves each session's past on.

    Args:
        features: float32 [N, F].
        offsets: each session's first of the N frames, and N: int64 [B + 1].
        rows: each session's row of `past`, [B].
        past: features before the next frame, float32 [capacity, frames - 1, F], updated in place.
        weights: float32 [frames * F, W'], W' padded to a multiple of 32.
        bias: float32 [W'].
        out: float32 [N, W], filled.
    """
    padded = weights.shape[1]
    width, step = out.shape[1], features.shape[1]
    history = past.shape[1] * step
    longest = 0
    for b in range(len(rows)):
        longest = max(longest, offsets[b + 1] - offsets[b])
    v = numbers(history + longest * step)
    four = numbers(128)
    for b in range(len(rows)):
        first, count = offsets[b], offsets[b + 1] - offsets[b]
        copy_flat(past, rows[b] * history, v, 0, history)
        copy_flat(features, first * step, v, history, count * step)
        copy_flat(v, count * step, past, rows[b] * history, history)
        for frame in range(0, count, 4):
            last = (count - 1) * step
            a = frame * step
            for column in range(0, width, 32):
                _four_frames(
                    v, a, min(a + step, last), min(a + 2 * step, last), min(a + 3 * step, last),
                    weights.reshape(-1), bias, column, step, padded, four,
                )  # fmt: skip
                for i in range(min(4, count - frame)):
                    for j in range(min(32, width - column)):
                        out[first + frame + i, column + j] = four[32 * i + j]
