"""Layers in blocks of 8 or 16 neurons: a block with no open neuron costs nothing.

For switches that neurons share (one per group of 8 or 16), and for dense layers. Neurons lie in
lanes: weights are tiles [rows / L][columns / L][L L / 16 steps][G gates][16], L = 8 or 16, over the
columns x (padded to a multiple of 16), then h. A step of a tile is one column of 16 neurons, or two
columns of 8 neurons: either way whole vectors of 16 numbers, which is what the processor reads and
multiplies fastest. In the second case both columns' sums are added at the very end.

A block's sums are sums of its tiles' sums, in one fixed order. A tile's sum changes only when one
of its columns did, so it is kept and read again until then. That is exact: the same bits as
computing it again, whatever the chunking, the batch, or the kernel. Sums are kept for one session
and one chunk, so no session carries them.
"""

from __future__ import annotations

import numpy as np

from surnn.kernels.bits import select_bits
from surnn.kernels.cache import inline, inline_with_arrays, kernel
from surnn.kernels.cells import (
    all_sums,
    gates_of,
    kind_of,
    memory_of,
    remembers,
    start_hidden,
    update,
)
from surnn.kernels.head import add_head, copy_padded, copy_row, numbers, unset_numbers
from surnn.kernels.simd import lanes, load, store, zeros8, zeros16
from surnn.kernels.sums import add_columns, add_loaded, keep, no_sums

__all__ = ["block_bits", "block_layer8", "block_layer16", "write_open"]


@inline
def _compute(kind, weights, part, v, tile, column, tile2, column2, like):
    """Keep the sums of two tiles, at once: only the sums of one tile wait for each other."""
    gates = gates_of(kind)
    size = lanes(like)
    wide = 16 * len(gates)
    first, second = (column,), (column2,)
    sums, sums2 = no_sums(gates, first), no_sums(gates, second)
    steps = size * size // 16
    at, at2 = tile * steps * wide, tile2 * steps * wide
    for k in range(0, size, 16 // size):
        sums = add_columns(weights, at, v, first, k, like, sums)
        sums2 = add_columns(weights, at2, v, second, k, like, sums2)
        at += wide
        at2 += wide
    keep(part, tile * wide, sums)
    keep(part, tile2 * wide, sums2)


@inline
def block_bits(words, n, block, size):
    """Open neurons of one block in frame n."""
    bits = np.int64(words[n, block * size // 16])
    return bits if size == 16 else (bits >> (8 * (block & 1))) & 0xFF


@inline
def _refresh(kind, weights, block, v, part, stamps, last, stale, like):
    """Compute the tiles of a block that changed since its frame `last`."""
    size, tiles = lanes(like), len(stamps)
    count = 0
    for k in range(tiles):
        stale[count] = k
        count += stamps[k] > last
    first = block * tiles
    stale[count] = stale[count - 1]
    for j in range(0, count, 2):
        k, m = stale[j], stale[j + 1]
        _compute(kind, weights, part, v, first + k, k * size, first + m, m * size, like)


@inline
def _total(kind, part, block, tiles, input_tiles, bias):
    """A block's sums."""
    gates = gates_of(kind)
    wide = 16 * len(gates)
    begin = block * bias.shape[1] * 16
    at = wide * block * tiles
    of_x = add_loaded(bias, begin, gates)
    for _ in range(input_tiles):
        of_x = add_loaded(part, at, of_x)
        at += wide
    sums = start_hidden(kind, of_x, bias, begin)
    for _ in range(input_tiles, tiles):
        sums = add_loaded(part, at, sums)
        at += wide
    return all_sums(kind, of_x, sums)


@inline
def _mark_inputs(input_words, n, first, stamps, input_tiles, size):
    """Stamp the input tiles that frame n changed: all, unless the layer below says which."""
    for k in range(input_tiles):
        changed = True
        if not first and len(input_words):
            changed = block_bits(input_words, n, k, size) != 0
        if changed:
            stamps[k] = 2 * n


@inline_with_arrays
def _layer(
    words, offsets, rows, x, input_words, cell, weights, bias, inputs, head, head_bias, logits,
    out, like,
):  # fmt: skip
    kind, second = kind_of(cell), memory_of(cell)
    states = cell.h
    size = lanes(like)
    blocks, tiles = weights.shape[0], weights.shape[1]
    input_tiles = inputs // size
    # The head reads whole vectors of 16, which may end behind the last block of 8.
    v = numbers(tiles * size + 16 - size)
    # A tile's sum is computed before it is first read.
    part = unset_numbers(blocks * tiles * 16 * weights.shape[3])
    new = numbers(blocks * size)
    memory = numbers(blocks * size + 16 - size)
    sums = numbers(logits.shape[1])
    # When a tile's columns last changed: 2n by the inputs of frame n, 2n + 1 by its states.
    stamps = np.empty(tiles, np.int64)
    last = np.empty(blocks, np.int64)
    stale, opened = np.empty(tiles + 1, np.int64), np.empty(blocks + 1, np.int64)
    for b in range(len(rows)):
        row = rows[b]
        copy_padded(states, row, v, inputs)
        if remembers(kind):
            copy_padded(second, row, memory, 0)
        add_head(head, head_bias, v, inputs, sums)
        stamps[:] = 0
        last[:] = -1
        for n in range(offsets[b], offsets[b + 1]):
            copy_padded(x, n, v, 0)
            _mark_inputs(input_words, n, n == offsets[b], stamps, input_tiles, size)
            count = 0
            for block in range(blocks):
                opened[count] = block
                count += block_bits(words, n, block, size) != 0
            for j in range(count):
                block = opened[j]
                _refresh(kind, weights, block, v, part, stamps, last[block], stale, like)
                last[block] = 2 * n
                at = block * size
                old, kept = load(v, inputs + at, like), load(memory, at, like)
                total = _total(kind, part, block, tiles, input_tiles, bias)
                h, c = update(kind, total, old, kept)
                bits = block_bits(words, n, block, size)
                store(new, at, select_bits(bits, h, old))
                if remembers(kind):
                    store(memory, at, select_bits(bits, c, kept))
            for j in range(count):
                block = opened[j]
                store(v, inputs + block * size, load(new, block * size, like))
                stamps[input_tiles + block] = 2 * n + 1
                write_open(words, n, block, size, new, 0, states, row)
                if remembers(kind):
                    write_open(words, n, block, size, memory, 0, second, row)
            if count:
                add_head(head, head_bias, v, inputs, sums)
            for c in range(len(sums)):
                logits[n, c] += sums[c]
            if len(out):
                copy_row(v, inputs, out, n)


@inline
def write_open(words, n, block, size, new, begin, states, row):
    """states[row] = new[begin :] at the open neurons of one block."""
    bits = block_bits(words, n, block, size)
    base = block * size
    if bits == (1 << size) - 1:
        for i in range(size):
            states[row, base + i] = new[begin + base + i]
        return
    for i in range(size):
        if bits >> i & 1:
            states[row, base + i] = new[begin + base + i]


@kernel
def block_layer8(
    words, offsets, rows, x, input_words, cell, weights, bias, inputs, head, head_bias, logits,
    out,
):  # fmt: skip
    """Blocks of 8 neurons; see `block_layer16`."""
    _layer(
        words, offsets, rows, x, input_words, cell, weights, bias, inputs, head, head_bias,
        logits, out, zeros8(),
    )  # fmt: skip


@kernel
def block_layer16(
    words, offsets, rows, x, input_words, cell, weights, bias, inputs, head, head_bias, logits,
    out,
):  # fmt: skip
    """Run one layer over the frames of all sessions, one session after the other.

    Args:
        words, offsets, rows, x, cell, inputs, head, head_bias, logits, out: as in
            `surnn.kernels.rows.row_layer`.
        input_words: open neurons of the layer below, [N, ceil(I / 16)]: its other outputs are
            unchanged. [0, 0]: any input may change.
        weights: float32 [blocks, tiles, L L / 16, G, 16] as above.
        bias: float32 [blocks, R, 16] for the cell's sums; for blocks of 8 in every other place.
    """
    _layer(
        words, offsets, rows, x, input_words, cell, weights, bias, inputs, head, head_bias,
        logits, out, zeros16(),
    )  # fmt: skip
