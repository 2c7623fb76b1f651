"""Rows for many sessions in step: each row that is read serves up to six sessions.

The same bits as `surnn.kernels.rows`: a neuron's sums are taken in the same order.
"""

from __future__ import annotations

import numpy as np

from surnn.kernels.batches import share_out
from surnn.kernels.bits import column_bits, lowest_bit
from surnn.kernels.cache import inline, kernel
from surnn.kernels.cells import after_inputs, gates_of, kind_of, memory_of, remembers, sums_of
from surnn.kernels.head import add_head_at, copy_padded, copy_row, numbers
from surnn.kernels.rows import advance
from surnn.kernels.sums import add_products, no_sums, store_row_sums

__all__ = ["row_batch_layer"]


@inline
def _dots(kind, weights, bias, neuron, begins, v, inputs, width, pre, place):
    """The sums of one neuron for S sessions, at `begins`, into pre[place], pre[place + 1], ...."""
    gates, rows = gates_of(kind), sums_of(kind)
    at = len(gates) * width * neuron
    sums = no_sums(gates, begins)
    for k in range(0, inputs, 16):
        sums = add_products(weights, at, width, v, begins, k, sums)
    sums, apart = after_inputs(kind, sums, begins)
    for k in range(inputs, width, 16):
        sums = add_products(weights, at, width, v, begins, k, sums)
    store_row_sums(pre, place, sums, apart, begins, bias, 4 * neuron, rows)


@inline
def _neuron(kind, weights, bias, neuron, places, first, count, v, inputs, width, pre):
    """One neuron for the `count` sessions whose state of it lies at places[first], ... in v."""
    some, end, behind = share_out(count, 6), first + count, inputs + neuron
    while first < end:
        a, b = places[first] - behind, places[first + 1] - behind
        c, d = places[first + 2] - behind, places[first + 3] - behind
        if some <= 2:
            _dots(kind, weights, bias, neuron, (a, b), v, inputs, width, pre, first)
        elif some <= 4:
            _dots(kind, weights, bias, neuron, (a, b, c, d), v, inputs, width, pre, first)
        else:
            e, f = places[first + 4] - behind, places[first + 5] - behind
            _dots(kind, weights, bias, neuron, (a, b, c, d, e, f), v, inputs, width, pre, first)
        first += some


@inline
def _list(column, first, neuron, width, inputs, hidden, rows, places, targets, pairs):
    """Add the sessions that have a neuron open: where its state lies in v, and in the pool."""
    for begin in range(0, len(rows), 64):
        bits = column_bits(column, begin, first)
        while bits:
            b = begin + lowest_bit(bits)
            bits &= bits - 1
            places[pairs] = b * width + inputs + neuron
            targets[pairs] = rows[b] * hidden + neuron
            pairs += 1
    return pairs


@kernel
def row_batch_layer(
    words, offsets, rows, x, cell, weights, bias, inputs, head, head_bias, logits, out
):
    """Run one layer over the frames of all sessions, frame by frame.

    Arguments as for `surnn.kernels.rows.row_layer`.
    """
    kind, second = kind_of(cell), memory_of(cell).reshape(-1)
    states, hidden, width = cell.h, cell.h.shape[1], weights.shape[2]
    flat = states.reshape(-1)
    sessions, labels = len(rows), logits.shape[1]
    v = numbers(sessions * width)
    # Pairs of a neuron and a session that has it open. Sums are written up to six at a time.
    room = sessions * hidden + 16
    pre, old, kept = numbers(4 * room), numbers(room), numbers(room)
    new, memory = numbers(room), numbers(room)
    places, targets = np.zeros(room, np.int64), np.zeros(room, np.int64)
    column = np.zeros(sessions + 64, np.uint16)
    sums = numbers(sessions * labels)
    longest = 0
    for b in range(sessions):
        copy_padded(states, rows[b], v, b * width + inputs)
        add_head_at(head, head_bias, v, b * width + inputs, sums, b * labels)
        longest = max(longest, offsets[b + 1] - offsets[b])
    for step in range(longest):
        for b in range(sessions):
            n = offsets[b] + step
            if n < offsets[b + 1]:
                copy_padded(x, n, v, b * width)
        pairs = 0
        for word in range(words.shape[1]):
            for b in range(sessions):
                n = offsets[b] + step
                column[b] = words[n, word] if n < offsets[b + 1] else 0
            for i in range(min(16, hidden - 16 * word)):
                neuron, first = 16 * word + i, pairs
                pairs = _list(
                    column, i, neuron, width, inputs, hidden, rows, places, targets, pairs
                )
                if pairs > first:
                    for j in range(pairs, pairs + 6):
                        places[j] = places[first]
                    count = pairs - first
                    _neuron(
                        kind, weights, bias, neuron, places, first, count, v, inputs, width, pre
                    )
        for j in range(pairs):
            old[j] = v[places[j]]
            if remembers(kind):
                kept[j] = second[targets[j]]
        advance(kind, pre, old, kept, new, memory, pairs)
        for j in range(pairs):
            v[places[j]] = new[j]
            flat[targets[j]] = new[j]
            if remembers(kind):
                second[targets[j]] = memory[j]
        for b in range(sessions):
            n = offsets[b] + step
            if n < offsets[b + 1]:
                begin = b * width + inputs
                if labels:
                    add_head_at(head, head_bias, v, begin, sums, b * labels)
                for c in range(labels):
                    logits[n, c] += sums[b * labels + c]
                if len(out):
                    copy_row(v, begin, out, n)
