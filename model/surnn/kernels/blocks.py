"""suGRU layer in blocks of 8 or 16 neurons: a block with no open neuron costs nothing.

For switches that neurons share (one per group of 8 or 16), and for dense layers. Neurons lie in
lanes: weights are tiles [rows / L][columns / L][L columns][3 gates][L neurons], L = 8 or 16, over
the columns x (padded to a multiple of 16), then h.

A block's sums are sums of its tiles' sums, in one fixed order. A tile's sum changes only when one
of its columns did, so it is kept and read again until then. That is exact: the same bits as
computing it again, whatever the chunking, the batch, or the kernel. Sums are kept for one session
and one chunk, so no session carries them.
"""

from __future__ import annotations

import numpy as np

from surnn.kernels.activations import sigmoid, tanh
from surnn.kernels.bits import select_bits
from surnn.kernels.cache import inline, kernel
from surnn.kernels.head import add_head, copy_padded
from surnn.kernels.simd import fma, lanes, load, load_splat, splat, store, zeros8, zeros16

__all__ = ["block_layer8", "block_layer16"]

_ONE = np.float32(1.0)
_F0 = np.float32(0.0)


@inline
def tile_sums(weights, tile, v, column, tile2, column2, like):
    """Sums of gates z, r, n over the columns of two tiles."""
    z, r, n, z2, r2, n2 = like, like, like, like, like, like
    size = lanes(like)
    at, at2 = tile * 3 * size * size, tile2 * 3 * size * size
    for k in range(size):
        value = load_splat(v, column + k, like)
        z = fma(load(weights, at, like), value, z)
        r = fma(load(weights, at + size, like), value, r)
        n = fma(load(weights, at + 2 * size, like), value, n)
        value = load_splat(v, column2 + k, like)
        z2 = fma(load(weights, at2, like), value, z2)
        r2 = fma(load(weights, at2 + size, like), value, r2)
        n2 = fma(load(weights, at2 + 2 * size, like), value, n2)
        at += 3 * size
        at2 += 3 * size
    return z, r, n, z2, r2, n2


@inline
def cell(z, r, nx, nh, old):
    """The new state from a block's sums, biases included."""
    q, r = sigmoid(splat(_F0, z) - z), sigmoid(r)
    n = tanh(fma(r, nh, nx))
    return fma(q, n - old, old)


@inline
def block_bits(words, n, block, size):
    """Open neurons of one block in frame n."""
    bits = np.int64(words[n, block * size // 16])
    return bits if size == 16 else (bits >> (8 * (block & 1))) & 0xFF


@inline
def _refresh(weights, block, v, part, stamps, last, stale, like):
    """Compute the tiles of a block that changed since its frame `last`."""
    size, tiles = lanes(like), len(stamps)
    count = 0
    for k in range(tiles):
        stale[count] = k
        count += stamps[k] > last
    first = block * tiles
    # Two at a time: one tile's sums wait for each other, two tiles' do not.
    for j in range(0, count - 1, 2):
        k, m = stale[j], stale[j + 1]
        sums = tile_sums(weights, first + k, v, k * size, first + m, m * size, like)
        _keep(part, first + k, sums[0], sums[1], sums[2])
        _keep(part, first + m, sums[3], sums[4], sums[5])
    if count % 2:
        k = stale[count - 1]
        sums = tile_sums(weights, first + k, v, k * size, first + k, k * size, like)
        _keep(part, first + k, sums[0], sums[1], sums[2])


@inline
def _keep(part, tile, z, r, n):
    size = lanes(z)
    store(part, 3 * size * tile, z)
    store(part, 3 * size * tile + size, r)
    store(part, 3 * size * tile + 2 * size, n)


@inline
def _total(part, block, tiles, input_tiles, bias, like):
    """A block's sums: z, r, n of x, n of h."""
    size = lanes(like)
    at = 4 * size * block
    z, r = load(bias, at, like), load(bias, at + size, like)
    nx, nh = load(bias, at + 2 * size, like), load(bias, at + 3 * size, like)
    at = 3 * size * block * tiles
    for _ in range(input_tiles):
        z = z + load(part, at, like)
        r = r + load(part, at + size, like)
        nx = nx + load(part, at + 2 * size, like)
        at += 3 * size
    for _ in range(input_tiles, tiles):
        z = z + load(part, at, like)
        r = r + load(part, at + size, like)
        nh = nh + load(part, at + 2 * size, like)
        at += 3 * size
    return z, r, nx, nh


@inline
def _mark_inputs(input_words, n, first, stamps, input_tiles, size):
    """Stamp the input tiles that frame n changed: all, unless the layer below says which."""
    for k in range(input_tiles):
        changed = True
        if not first and len(input_words):
            changed = block_bits(input_words, n, k, size) != 0
        if changed:
            stamps[k] = 2 * n


@inline
def _layer(
    words, offsets, rows, x, input_words, states, weights, bias, inputs, head, head_bias, logits,
    out, like,
):  # fmt: skip
    hidden = states.shape[1]
    size = lanes(like)
    blocks, tiles = weights.shape[0], weights.shape[1]
    input_tiles = inputs // size
    # The head reads whole vectors of 16, which may end behind the last block of 8.
    v = np.zeros(tiles * size + 16 - size, np.float32)
    part = np.empty(blocks * tiles * 3 * size, np.float32)
    new = np.empty(blocks * size, np.float32)
    sums = np.zeros(logits.shape[1], np.float32)
    # When a tile's columns last changed: 2n by the inputs of frame n, 2n + 1 by its states.
    stamps = np.empty(tiles, np.int64)
    last = np.empty(blocks, np.int64)
    stale, opened = np.empty(tiles, np.int64), np.empty(blocks, np.int64)
    for b in range(len(rows)):
        row = rows[b]
        copy_padded(states, row, v, inputs)
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
                _refresh(weights, block, v, part, stamps, last[block], stale, like)
                last[block] = 2 * n
                z, r, nx, nh = _total(part, block, tiles, input_tiles, bias, like)
                old = load(v, inputs + block * size, like)
                bits = block_bits(words, n, block, size)
                h = select_bits(bits, cell(z, r, nx, nh, old), old)
                store(new, block * size, h)
            for j in range(count):
                block = opened[j]
                store(v, inputs + block * size, load(new, block * size, like))
                stamps[input_tiles + block] = 2 * n + 1
                write_open(words, n, block, size, new, 0, states, row)
            if count:
                add_head(head, head_bias, v, inputs, sums)
            for c in range(len(sums)):
                logits[n, c] += sums[c]
            if len(out):
                for i in range(hidden):
                    out[n, i] = v[inputs + i]


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
    words, offsets, rows, x, input_words, states, weights, bias, inputs, head, head_bias, logits,
    out,
):  # fmt: skip
    """Blocks of 8 neurons; see `block_layer16`."""
    _layer(
        words, offsets, rows, x, input_words, states, weights, bias, inputs, head, head_bias,
        logits, out, zeros8(),
    )  # fmt: skip


@kernel
def block_layer16(
    words, offsets, rows, x, input_words, states, weights, bias, inputs, head, head_bias, logits,
    out,
):  # fmt: skip
    """Run one layer over the frames of all sessions, one session after the other.

    Args:
        words, offsets, rows, x, states, inputs, head, head_bias, logits, out: as in
            `surnn.kernels.rows.row_layer`.
        input_words: open neurons of the layer below, [N, ceil(I / 16)]: its other outputs are
            unchanged. [0, 0]: any input may change.
        weights: float32 [blocks, tiles, L, 3, L] as above.
        bias: float32 [blocks, 4, L] for z, r, n of x, n of h.
    """
    _layer(
        words, offsets, rows, x, input_words, states, weights, bias, inputs, head, head_bias,
        logits, out, zeros16(),
    )  # fmt: skip
