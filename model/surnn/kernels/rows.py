"""Row skip: an open neuron reads its own rows of weights, a closed one nothing.

The weights of a neuron lie together, [H][G][X + H']: its gates; the inputs padded to X, a multiple
of 16, then the hidden states padded likewise. Reference: `surnn.kernels.reference`.
"""

from __future__ import annotations

import numpy as np

from surnn.kernels.bits import lowest_bit
from surnn.kernels.cache import inline, kernel
from surnn.kernels.cells import (
    after_inputs,
    gates_of,
    kind_of,
    memory_of,
    remembers,
    sums_of,
    update,
)
from surnn.kernels.head import add_head, copy_padded, copy_row, numbers
from surnn.kernels.simd import load, store, zeros16
from surnn.kernels.sums import add_products, load_row_sums, no_sums, store_row_sums

__all__ = ["advance", "dots", "list_open", "row_layer"]


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
def dots(kind, weights, bias, neuron, other, v, inputs, pre, place):
    """The sums of two neurons into pre[place] and pre[place + 1].

    Two, because one neuron's sums wait for each other.
    """
    gates, rows, begins = gates_of(kind), sums_of(kind), (0,)
    width = len(v)
    a, b = len(gates) * width * neuron, len(gates) * width * other
    sums, sums2 = no_sums(gates, begins), no_sums(gates, begins)
    for k in range(0, inputs, 16):
        sums = add_products(weights, a, width, v, begins, k, sums)
        sums2 = add_products(weights, b, width, v, begins, k, sums2)
    sums, apart = after_inputs(kind, sums, begins)
    sums2, apart2 = after_inputs(kind, sums2, begins)
    for k in range(inputs, width, 16):
        sums = add_products(weights, a, width, v, begins, k, sums)
        sums2 = add_products(weights, b, width, v, begins, k, sums2)
    store_row_sums(pre, place, sums, apart, begins, bias, 4 * neuron, rows)
    store_row_sums(pre, place + 1, sums2, apart2, begins, bias, 4 * other, rows)


@inline
def advance(kind, pre, old, kept, new, memory, count):
    """New states and memories of the first `count` neurons listed."""
    like = zeros16()
    for j in range(0, count, 16):
        sums = load_row_sums(pre, j, sums_of(kind))
        h, c = update(kind, sums, load(old, j, like), load(kept, j, like))
        store(new, j, h)
        store(memory, j, c)


@kernel
def row_layer(words, offsets, rows, x, cell, weights, bias, inputs, head, head_bias, logits, out):
    """Run one layer over the frames of all sessions, one session after the other.

    Args:
        words: open neurons uint16 [N, ceil(H / 16)].
        offsets: each session's first of the N frames, and N: int64 [B + 1].
        rows: each session's row of the states, [B].
        x: inputs float32 [N, I].
        cell: the layer's states in the pool (`surnn.kernels.cells`); only open neurons are written.
        weights: float32 [H, G, X + H'] as above.
        bias: float32 [H, 4], the first of them for the cell's sums.
        inputs: X.
        head: float32 [C, H'], C a multiple of 4, H' of 16.
        head_bias: float32 [C].
        logits: float32 [N, C], added to.
        out: all hidden states float32 [N, H], filled; [0, H] if nobody wants them.
    """
    kind, second = kind_of(cell), memory_of(cell)
    states, hidden, width = cell.h, cell.h.shape[1], weights.shape[2]
    v = numbers(width)
    room = (hidden + 31) // 16 * 16
    pre = numbers(4 * room)
    old, new = numbers(room), numbers(room)
    kept, memory = numbers(room), numbers(room)
    part = numbers(logits.shape[1])
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
                    dots(kind, weights, bias, i, other, v, inputs, pre, j)
                    old[j], old[j + 1] = v[inputs + i], v[inputs + other]
                if remembers(kind):
                    for j in range(count):
                        kept[j] = second[row, opened[j]]
                advance(kind, pre, old, kept, new, memory, count)
                for j in range(count):
                    i = opened[j]
                    v[inputs + i] = new[j]
                    states[row, i] = new[j]
                    if remembers(kind):
                        second[row, i] = memory[j]
                add_head(head, head_bias, v, inputs, part)
            for c in range(len(part)):
                logits[n, c] += part[c]
            if len(out):
                copy_row(v, inputs, out, n)
