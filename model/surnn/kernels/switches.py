"""Which neurons are open: bits for every frame of a chunk, before its recurrence starts.

    a = (A [sin, cos](t) + b) / CLOCK_ONE  +  x W        open: a > 0

The clock's part is whole numbers below 2^24 and so exact in float32 (`surnn.clock`). The result is
uint16 [N, ceil(H / 16)] over the N frames of all sessions: bit i of word j is neuron 16 j + i.
"""

from __future__ import annotations

import numpy as np

from surnn.clock import PHASE_BITS, SINE_TABLE, TABLE_SIZE
from surnn.kernels.bits import bits_above, count_bits, lowest_bit
from surnn.kernels.cache import inline, kernel
from surnn.kernels.simd import fma, load, load_splat, splat, zeros16

__all__ = ["neuron_bits"]

_MASK = 2**PHASE_BITS - 1
_SHIFT = PHASE_BITS - 12
_QUARTER = TABLE_SIZE // 4
_TABLE = SINE_TABLE.astype(np.float32)


@inline
def _sum(weights, start, values, count, width, column, total):
    """total + values[0 : count] @ weights[start : start + count, column : column + 16]"""
    for k in range(count):
        row = (start + k) * width + column
        total = fma(load_splat(values, k, total), load(weights, row, total), total)
    return total


@inline
def _spread(bits, switch, group, hidden, words, n):
    """Set the bits of every neuron of the open switches `switch + i`, i from `bits`."""
    while bits:
        begin = (switch + lowest_bit(bits)) * group
        bits &= bits - 1
        end = min(begin + group, hidden)
        while begin < end:
            length = min(16 - begin % 16, end - begin)
            words[n, begin // 16] |= np.uint16(((1 << length) - 1) << begin % 16)
            begin += length


@kernel
def neuron_bits(
    frame, offsets, rows, inc, features, inputs, weights, bias, unit, switches, group, hidden,
    words, opened,
):  # fmt: skip
    """Fill `words` (zeros on entry).

    Args:
        frame: number of each session's next frame, int64 [capacity].
        offsets: each session's first of the N frames, and N: int64 [B + 1].
        rows: each session's row of `frame`, [B].
        inc: phase steps int64 [K]; empty without a clock.
        features: float32 [N, F].
        inputs: how many of them switches see: F, or 0 without an input.
        weights: float32 [2K + inputs, G'], G padded to a multiple of 16.
        bias: float32 [G'], below zero in the padding.
        unit: what one step of the clock's integers is worth: 1 / CLOCK_ONE, or 1.
        switches, group, hidden: G, neurons per switch, H.
        words: uint16 [N, ceil(H / 16)].
        opened: float32 [N], filled with the number of open neurons.
    """
    like = zeros16()
    clocks, width = len(inc), len(bias)
    basis = np.empty(2 * clocks, np.float32)
    for b in range(len(rows)):
        for n in range(offsets[b], offsets[b + 1]):
            t = frame[rows[b]] + (n - offsets[b])
            for k in range(clocks):
                index = ((t * inc[k]) & _MASK) >> _SHIFT
                basis[k] = _TABLE[index]
                basis[clocks + k] = _TABLE[(index + _QUARTER) & (TABLE_SIZE - 1)]
            row, count = features[n], 0
            for column in range(0, width, 16):
                a = _sum(weights, 0, basis, 2 * clocks, width, column, load(bias, column, like))
                a = a * splat(unit, like)
                a = _sum(weights, 2 * clocks, row, inputs, width, column, a)
                bits = bits_above(a, like)
                count += count_bits(bits)
                if group == 1:
                    words[n, column // 16] = np.uint16(bits)
                elif bits:
                    _spread(bits, column, group, hidden, words, n)
            opened[n] = count * group
