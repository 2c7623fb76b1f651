"""Blocks for many sessions in step: each weight that is read serves up to six sessions.

The same bits as `surnn.kernels.blocks`: the same tiles, summed in the same order. Worth it for many
sessions with few frames each, where tiles kept from frame to frame would rarely be used again.
"""

from __future__ import annotations

import numpy as np

from surnn.kernels.bits import select_bits
from surnn.kernels.blocks import block_bits, write_open
from surnn.kernels.cache import inline, inline_with_arrays, kernel
from surnn.kernels.cells import gates_of, kind_of, load_rows, memory_of, remembers, update
from surnn.kernels.head import add_head_at, copy_padded, copy_row, numbers
from surnn.kernels.simd import lanes, load, prefetch, store, zeros8, zeros16
from surnn.kernels.sums import add_columns, add_kept, no_sums

__all__ = ["batch_layer8", "batch_layer16", "share_out"]

_AHEAD = 1024
"""Weights that are on their way from memory while others are multiplied with."""


@inline
def share_out(count, most):
    """How many of `count` sessions one round takes, so that all rounds are about equally full."""
    rounds = (count + most - 1) // most
    return (count + rounds - 1) // rounds


@inline
def _some(kind, weights, bias, block, begins, v, inputs, width, sums, like):
    """Sums [S, R, 16] of one block for the S sessions whose columns begin at `begins` in v."""
    gates = gates_of(kind)
    size, rows = lanes(like), bias.shape[1]
    wide = 16 * len(gates)
    step = 16 * rows
    for r in range(rows):
        own = load(bias, block * step + 16 * r, zeros16())
        for s in range(len(begins)):
            store(sums, s * step + 16 * r, own)
    at = block * (width // size) * (size * size // 16) * wide
    for k in range(0, width, size):
        part = no_sums(gates, begins)
        for j in range(0, size, 16 // size):
            part = add_columns(weights, at, v, begins, k + j, like, part)
            for g in range(0, wide, 16):
                prefetch(weights, at + _AHEAD + g)
            at += wide
        last = len(gates) - 1 if k < inputs else rows - 1
        add_kept(sums, step, last, begins, part)


@inline
def _finish(kind, block, count, members, first, masks, sums, v, inputs, stride, new, memory, like):
    """New states of one block of the `count` sessions in `members[first :]`."""
    size, step = lanes(like), len(load_rows(kind, sums, 0, 16)) * 16
    for s in range(count):
        b = members[first + s]
        begin, bits = b * stride + block * size, masks[b]
        old, kept = load(v, begin + inputs, like), load(memory, begin, like)
        h, c = update(kind, load_rows(kind, sums, s * step, 16), old, kept)
        store(new, begin, select_bits(bits, h, old))
        if remembers(kind):
            store(memory, begin, select_bits(bits, c, kept))


@inline
def _block(kind, weights, bias, block, members, first, count, v, inputs, width, stride, sums, like):
    """Sums of one block for up to six sessions: two, four or six at a time."""
    a, b = members[first] * stride, members[first + 1] * stride
    if count <= 2:
        _some(kind, weights, bias, block, (a, b), v, inputs, width, sums, like)
        return
    c, d = members[first + 2] * stride, members[first + 3] * stride
    if count <= 4:
        _some(kind, weights, bias, block, (a, b, c, d), v, inputs, width, sums, like)
        return
    e, f = members[first + 4] * stride, members[first + 5] * stride
    _some(kind, weights, bias, block, (a, b, c, d, e, f), v, inputs, width, sums, like)


@inline_with_arrays
def _layer(
    words, offsets, rows, x, cell, weights, bias, inputs, head, head_bias, logits, out, like
):
    kind, second = kind_of(cell), memory_of(cell)
    states, sessions = cell.h, len(rows)
    size = lanes(like)
    blocks, tiles = weights.shape[0], weights.shape[1]
    width, labels = tiles * size, logits.shape[1]
    # The head reads whole vectors of 16, which may end behind the last block of 8.
    stride = (width + 15) // 16 * 16
    v = numbers(sessions * stride)
    new = numbers(sessions * stride)
    memory = numbers(sessions * stride)
    sums = numbers(sessions * labels)
    scratch = numbers(6 * 16 * bias.shape[1])
    masks, members = np.zeros(sessions, np.int64), np.zeros(sessions + 6, np.int64)
    longest = 0
    for b in range(sessions):
        copy_padded(states, rows[b], v, b * stride + inputs)
        if remembers(kind):
            copy_padded(second, rows[b], memory, b * stride)
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
            if count == 0:
                continue
            for j in range(count, count + 6):
                members[j] = members[count - 1]
            some = share_out(count, 6)
            for first in range(0, count, some):
                _block(
                    kind, weights, bias, block, members, first, some, v, inputs, width, stride,
                    scratch, like,
                )  # fmt: skip
                _finish(
                    kind, block, min(some, count - first), members, first, masks, scratch, v,
                    inputs, stride, new, memory, like,
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
                        if remembers(kind):
                            write_open(words, n, block, size, memory, at, second, rows[b])
                if changed:
                    add_head_at(head, head_bias, v, at + inputs, sums, b * labels)
                for c in range(labels):
                    logits[n, c] += sums[b * labels + c]
                if len(out):
                    copy_row(v, at + inputs, out, n)


@kernel
def batch_layer8(
    words, offsets, rows, x, cell, weights, bias, inputs, head, head_bias, logits, out
):
    """Blocks of 8 neurons; see `batch_layer16`."""
    _layer(
        words, offsets, rows, x, cell, weights, bias, inputs, head, head_bias, logits, out,
        zeros8(),
    )  # fmt: skip


@kernel
def batch_layer16(
    words, offsets, rows, x, cell, weights, bias, inputs, head, head_bias, logits, out
):
    """Run one layer over the frames of all sessions, frame by frame.

    Arguments as for `surnn.kernels.blocks.block_layer16`.
    """
    _layer(
        words, offsets, rows, x, cell, weights, bias, inputs, head, head_bias, logits, out,
        zeros16(),
    )  # fmt: skip
