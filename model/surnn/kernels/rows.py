"""suGRU layer, row skip: an open neuron reads its own three rows of weights, a closed one nothing.

The weights of a neuron lie together, [H][3][X + H]: gates z, r, n; the inputs padded to X, a
multiple of 16, then the hidden states padded likewise. Reference: `surnn.kernels.reference.layer`.
"""

from __future__ import annotations

import numpy as np

from surnn.kernels.activations import sigmoid, tanh
from surnn.kernels.bits import lowest_bit
from surnn.kernels.cache import inline, kernel
from surnn.kernels.head import add_head, copy_padded
from surnn.kernels.shuffles import store_sums
from surnn.kernels.simd import fma, load, splat, store, zeros16

__all__ = ["dots", "row_layer"]


@inline
def list_open(words, n, opened):
    """Numbers of the open neurons of frame n; how many there are."""
    count = 0
    for j in range(words.shape[1]):
        bits = np.int64(words[n, j])
        base = 16 * j
        while bits:
            opened[count] = base + lowest_bit(bits)
            count += 1
            bits &= bits - 1
    return count


@inline
def dots(weights, bias, neuron, other, v, inputs, pre, place, room):
    """The four sums of two neurons into pre[i * room + place ...]: z, r, n of x, n of h.

    Two, because one neuron's sums wait for each other.
    """
    like = zeros16()
    z, r, nx, nh = like, like, like, like
    z2, r2, nx2, nh2 = like, like, like, like
    width = len(v)
    a, b = 3 * width * neuron, 3 * width * other
    for k in range(0, inputs, 16):
        x = load(v, k, like)
        z = fma(load(weights, a + k, like), x, z)
        r = fma(load(weights, a + width + k, like), x, r)
        nx = fma(load(weights, a + 2 * width + k, like), x, nx)
        z2 = fma(load(weights, b + k, like), x, z2)
        r2 = fma(load(weights, b + width + k, like), x, r2)
        nx2 = fma(load(weights, b + 2 * width + k, like), x, nx2)
    for k in range(inputs, width, 16):
        h = load(v, k, like)
        z = fma(load(weights, a + k, like), h, z)
        r = fma(load(weights, a + width + k, like), h, r)
        nh = fma(load(weights, a + 2 * width + k, like), h, nh)
        z2 = fma(load(weights, b + k, like), h, z2)
        r2 = fma(load(weights, b + width + k, like), h, r2)
        nh2 = fma(load(weights, b + 2 * width + k, like), h, nh2)
    store_sums(pre, place, room, z, r, nx, nh, bias, 4 * neuron)
    store_sums(pre, place + 1, room, z2, r2, nx2, nh2, bias, 4 * other)


@inline
def _activate(pre, old, new, count, room):
    """new = (1 - z) n + z old for the first `count` neurons listed."""
    like = zeros16()
    for j in range(0, count, 16):
        z = sigmoid(load(pre, j, like))
        r = sigmoid(load(pre, room + j, like))
        n = tanh(fma(r, load(pre, 3 * room + j, like), load(pre, 2 * room + j, like)))
        store(new, j, fma(z, load(old, j, like), (splat(np.float32(1.0), like) - z) * n))


@kernel
def row_layer(words, offsets, rows, x, states, weights, bias, inputs, head, head_bias, logits, out):
    """Run one layer over the frames of all sessions, one session after the other.

    Args:
        words: open neurons, uint16 [N, ceil(H / 16)].
        offsets: each session's first of the N frames, and N: int64 [B + 1].
        rows: each session's row of `states`, [B].
        x: inputs float32 [N, I].
        states: hidden states of the pool, float32 [capacity, H], updated in place.
        weights: float32 [H, 3, X + H'] as above; bias: float32 [H, 4] for z, r, n of x, n of h.
        inputs: X.
        head: this layer's part of the head, float32 [C', H'], C padded to a multiple of 4.
        head_bias: float32 [C'], zeros in all layers but one.
        logits: float32 [N, C'], added to.
        out: float32 [N, H], all hidden states; [0, H] where nobody reads them.
    """
    hidden = states.shape[1]
    width = weights.shape[2]
    room = (hidden + 15) // 16 * 16
    v = np.zeros(width, np.float32)
    pre = np.zeros(4 * room, np.float32)
    old, new = np.zeros(room, np.float32), np.zeros(room, np.float32)
    part = np.zeros(logits.shape[1], np.float32)
    opened = np.zeros(room + 1, np.int64)
    for b in range(len(rows)):
        row = rows[b]
        copy_padded(states, row, v, inputs)
        add_head(head, head_bias, v, inputs, part)
        for n in range(offsets[b], offsets[b + 1]):
            count = list_open(words, n, opened)
            if count:
                copy_padded(x, n, v, 0)
                opened[count] = opened[count - 1]
                for j in range(0, count, 2):
                    i, other = opened[j], opened[j + 1]
                    dots(weights, bias, i, other, v, inputs, pre, j, room)
                    old[j], old[j + 1] = v[inputs + i], v[inputs + other]
                _activate(pre, old, new, count, room)
                for j in range(count):
                    i = opened[j]
                    v[inputs + i] = new[j]
                    states[row, i] = new[j]
                add_head(head, head_bias, v, inputs, part)
            for c in range(len(part)):
                logits[n, c] += part[c]
            if len(out):
                for i in range(hidden):
                    out[n, i] = v[inputs + i]
