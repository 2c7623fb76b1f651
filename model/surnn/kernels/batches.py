"""Blocks for many sessions in step: each weight that is read serves up to four sessions.

The same bits as `surnn.kernels.blocks`: the same tiles, summed in the same order. Worth it for many
sessions with few frames each, where tiles kept from frame to frame would rarely be used again.
"""

from __future__ import annotations

import numpy as np

from surnn.kernels.bits import select_bits
from surnn.kernels.blocks import block_bits, cell, write_open
from surnn.kernels.cache import inline, kernel
from surnn.kernels.head import add_head_at, copy_padded
from surnn.kernels.simd import fma, lanes, load, load_splat, store, zeros8, zeros16

__all__ = ["batch_layer8", "batch_layer16"]


@inline
def _tile4(weights, at, v, a, b, c, d, like):
    """Sums of gates z, r, n over one tile's columns, which begin at a, b, c, d of v."""
    z0, r0, n0, z1, r1, n1 = like, like, like, like, like, like
    z2, r2, n2, z3, r3, n3 = like, like, like, like, like, like
    size = lanes(like)
    for k in range(size):
        wz, wr = load(weights, at, like), load(weights, at + size, like)
        wn = load(weights, at + 2 * size, like)
        value = load_splat(v, a + k, like)
        z0, r0, n0 = fma(wz, value, z0), fma(wr, value, r0), fma(wn, value, n0)
        value = load_splat(v, b + k, like)
        z1, r1, n1 = fma(wz, value, z1), fma(wr, value, r1), fma(wn, value, n1)
        value = load_splat(v, c + k, like)
        z2, r2, n2 = fma(wz, value, z2), fma(wr, value, r2), fma(wn, value, n2)
        value = load_splat(v, d + k, like)
        z3, r3, n3 = fma(wz, value, z3), fma(wr, value, r3), fma(wn, value, n3)
        at += 3 * size
    return z0, r0, n0, z1, r1, n1, z2, r2, n2, z3, r3, n3


@inline
def _add4(sums, z0, r0, n0, z1, r1, n1, z2, r2, n2, z3, r3, n3):
    return (
        z0 + sums[0], r0 + sums[1], n0 + sums[2], z1 + sums[3], r1 + sums[4], n1 + sums[5],
        z2 + sums[6], r2 + sums[7], n2 + sums[8], z3 + sums[9], r3 + sums[10], n3 + sums[11],
    )  # fmt: skip


@inline
def _finish(block, begin, bits, z, r, nx, nh, v, new, inputs, like):
    """The new states of one block of the session whose columns begin there in v."""
    size = lanes(like)
    old = load(v, begin + inputs + block * size, like)
    h = select_bits(bits, cell(z, r, nx, nh, old), old)
    store(new, begin + block * size, h)


@inline
def _four(weights, bias, block, b0, b1, b2, b3, v, inputs, width, stride, masks, new, like):
    """One block for four sessions, of which some may be the same."""
    size = lanes(like)
    tiles, first = width // size, 4 * size * block
    bz, br = load(bias, first, like), load(bias, first + size, like)
    bn, bh = load(bias, first + 2 * size, like), load(bias, first + 3 * size, like)
    p0, p1, p2, p3 = b0 * stride, b1 * stride, b2 * stride, b3 * stride
    z0, r0, n0, z1, r1, n1 = bz, br, bn, bz, br, bn
    z2, r2, n2, z3, r3, n3 = bz, br, bn, bz, br, bn
    at = block * tiles * 3 * size * size
    for k in range(0, inputs, size):
        sums = _tile4(weights, at, v, p0 + k, p1 + k, p2 + k, p3 + k, like)
        z0, r0, n0, z1, r1, n1, z2, r2, n2, z3, r3, n3 = _add4(
            sums, z0, r0, n0, z1, r1, n1, z2, r2, n2, z3, r3, n3
        )
        at += 3 * size * size
    h0, h1, h2, h3 = bh, bh, bh, bh
    for k in range(inputs, width, size):
        sums = _tile4(weights, at, v, p0 + k, p1 + k, p2 + k, p3 + k, like)
        z0, r0, h0, z1, r1, h1, z2, r2, h2, z3, r3, h3 = _add4(
            sums, z0, r0, h0, z1, r1, h1, z2, r2, h2, z3, r3, h3
        )
        at += 3 * size * size
    _finish(block, p0, masks[b0], z0, r0, n0, h0, v, new, inputs, like)
    _finish(block, p1, masks[b1], z1, r1, n1, h1, v, new, inputs, like)
    _finish(block, p2, masks[b2], z2, r2, n2, h2, v, new, inputs, like)
    _finish(block, p3, masks[b3], z3, r3, n3, h3, v, new, inputs, like)


@inline
def _layer(
    words, offsets, rows, x, states, weights, bias, inputs, head, head_bias, logits, out, like
):
    hidden, sessions = states.shape[1], len(rows)
    size = lanes(like)
    blocks, tiles = weights.shape[0], weights.shape[1]
    width, labels = tiles * size, logits.shape[1]
    # The head reads whole vectors of 16, which may end behind the last block of 8.
    stride = width + 16 - size
    v = np.zeros(sessions * stride, np.float32)
    new = np.zeros(sessions * stride, np.float32)
    sums = np.zeros(sessions * labels, np.float32)
    masks, members = np.zeros(sessions, np.int64), np.zeros(sessions + 3, np.int64)
    longest = 0
    for b in range(sessions):
        copy_padded(states, rows[b], v, b * stride + inputs)
        add_head_at(head, head_bias, v, b * stride + inputs, sums, b * labels)
        longest = max(longest, offsets[b + 1] - offsets[b])
    for step in range(longest):
        for b in range(sessions):
            n = offsets[b] + step
            if n < offsets[b + 1]:
                copy_padded(x, n, v, b * stride)
        for block in range(blocks):
            count = 0
            for b in range(sessions):
                n = offsets[b] + step
                if n < offsets[b + 1]:
                    masks[b] = block_bits(words, n, block, size)
                    members[count] = b
                    count += masks[b] != 0
            for j in range(count, count + 3):
                members[j] = members[count - 1] if count else 0
            for j in range(0, count, 4):
                _four(
                    weights, bias, block, members[j], members[j + 1], members[j + 2],
                    members[j + 3], v, inputs, width, stride, masks, new, like,
                )  # fmt: skip
        for b in range(sessions):
            n = offsets[b] + step
            if n < offsets[b + 1]:
                changed = False
                at = b * stride
                for block in range(blocks):
                    if block_bits(words, n, block, size):
                        changed = True
                        fresh = load(new, at + block * size, like)
                        store(v, at + inputs + block * size, fresh)
                        write_open(words, n, block, size, new, at, states, rows[b])
                if changed:
                    add_head_at(head, head_bias, v, at + inputs, sums, b * labels)
                for c in range(labels):
                    logits[n, c] += sums[b * labels + c]
                if len(out):
                    for i in range(hidden):
                        out[n, i] = v[at + inputs + i]


@kernel
def batch_layer8(
    words, offsets, rows, x, states, weights, bias, inputs, head, head_bias, logits, out
):
    """Blocks of 8 neurons; see `batch_layer16`."""
    _layer(
        words, offsets, rows, x, states, weights, bias, inputs, head, head_bias, logits, out,
        zeros8(),
    )  # fmt: skip


@kernel
def batch_layer16(
    words, offsets, rows, x, states, weights, bias, inputs, head, head_bias, logits, out
):
    """Run one layer over the frames of all sessions, frame by frame.

    Arguments as for `surnn.kernels.blocks.block_layer16`.
    """
    _layer(
        words, offsets, rows, x, states, weights, bias, inputs, head, head_bias, logits, out,
        zeros16(),
    )  # fmt: skip
