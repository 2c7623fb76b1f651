"""Rows for many sessions in step: each row that is read serves up to six sessions.

The same bits as `surnn.kernels.rows`: a neuron's sums are taken in the same order.
"""

from __future__ import annotations

import numpy as np

from surnn.kernels.batches import share_out
from surnn.kernels.bits import lowest_bit
from surnn.kernels.cache import inline, kernel
from surnn.kernels.cells import after_inputs, gates_of, memory_of, remembers, sums_of
from surnn.kernels.head import add_head_at, copy_padded
from surnn.kernels.rows import advance
from surnn.kernels.sums import add_products, no_sums, store_row_sums

__all__ = ["row_batch_layer"]


@inline
def _dots(cell, weights, bias, neuron, begins, v, inputs, width, pre, place, room):
    """The sums of one neuron for the S sessions at `begins` into pre[r * room + place ...]."""
    gates, rows = gates_of(cell), sums_of(cell)
    at = len(gates) * width * neuron
    sums = no_sums(gates, begins)
    for k in range(0, inputs, 16):
        sums = add_products(weights, at, width, v, begins, k, sums)
    sums, apart = after_inputs(cell, sums, begins)
    for k in range(inputs, width, 16):
        sums = add_products(weights, at, width, v, begins, k, sums)
    store_row_sums(pre, place, room, sums, apart, begins, bias, len(rows) * neuron, rows)


@inline
def _neuron(cell, weights, bias, neuron, at, count, v, inputs, width, pre, place, room):
    """One neuron for the `count` sessions whose columns begin at at[0], at[1], ... in v."""
    first = 0
    some = share_out(count, 6)
    while first < count:
        a, b = at[first], at[first + 1]
        c, d = at[first + 2], at[first + 3]
        if some <= 2:
            _dots(cell, weights, bias, neuron, (a, b), v, inputs, width, pre, place, room)
        elif some <= 4:
            _dots(cell, weights, bias, neuron, (a, b, c, d), v, inputs, width, pre, place, room)
        else:
            e, f = at[first + 4], at[first + 5]
            six = (a, b, c, d, e, f)
            _dots(cell, weights, bias, neuron, six, v, inputs, width, pre, place, room)
        first += some
        place += some


@inline
def _list(words, offsets, step, word, sessions, counts):
    """For each of 16 neurons: how many sessions have it open, and which."""
    counts[:] = 0
    for b in range(len(offsets) - 1):
        n = offsets[b] + step
        if n < offsets[b + 1]:
            bits = np.int64(words[n, word])
            while bits:
                i = lowest_bit(bits)
                sessions[i, counts[i]] = b
                counts[i] += 1
                bits &= bits - 1


@kernel
def row_batch_layer(
    words, offsets, rows, x, cell, weights, bias, inputs, head, head_bias, logits, out
):
    """Run one layer over the frames of all sessions, frame by frame.

    Arguments as for `surnn.kernels.rows.row_layer`.
    """
    states, hidden, width = cell.h, cell.h.shape[1], weights.shape[2]
    sessions, labels = len(rows), logits.shape[1]
    v = np.zeros(sessions * width, np.float32)
    # Pairs of a neuron and a session that has it open. The last may be written six at a time.
    room = (sessions * 16 + 31) // 16 * 16
    pre = np.zeros(len(sums_of(cell)) * room, np.float32)
    old, kept = np.zeros(room, np.float32), np.zeros(room, np.float32)
    new, memory = np.zeros(room, np.float32), np.zeros(room, np.float32)
    fresh = np.zeros(sessions * hidden, np.float32)
    members = np.zeros((16, sessions), np.int64)
    begins, counts = np.zeros(sessions + 6, np.int64), np.zeros(16, np.int64)
    sums = np.zeros(sessions * labels, np.float32)
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
        for word in range(words.shape[1]):
            _list(words, offsets, step, word, members, counts)
            pairs = 0
            for i in range(16):
                count = counts[i]
                if count == 0:
                    continue
                neuron = 16 * word + i
                for j in range(count):
                    b = members[i, j]
                    begins[j] = b * width
                    old[pairs + j] = v[b * width + inputs + neuron]
                    if remembers(cell):
                        kept[pairs + j] = memory_of(cell)[rows[b], neuron]
                for j in range(count, count + 6):
                    begins[j] = begins[count - 1]
                _neuron(
                    cell, weights, bias, neuron, begins, count, v, inputs, width, pre, pairs, room
                )
                pairs += count
            advance(cell, pre, old, kept, new, memory, pairs, room)
            pairs = 0
            for i in range(16):
                neuron = 16 * word + i
                for j in range(counts[i]):
                    b = members[i, j]
                    fresh[b * hidden + neuron] = new[pairs]
                    if remembers(cell):
                        memory_of(cell)[rows[b], neuron] = memory[pairs]
                    pairs += 1
        for b in range(sessions):
            n = offsets[b] + step
            if n < offsets[b + 1]:
                changed = False
                begin = b * width + inputs
                for word in range(words.shape[1]):
                    bits = np.int64(words[n, word])
                    changed |= bits != 0
                    while bits:
                        i = 16 * word + lowest_bit(bits)
                        value = fresh[b * hidden + i]
                        v[begin + i] = value
                        states[rows[b], i] = value
                        bits &= bits - 1
                if changed:
                    add_head_at(head, head_bias, v, begin, sums, b * labels)
                for c in range(labels):
                    logits[n, c] += sums[b * labels + c]
                if len(out):
                    for i in range(hidden):
                        out[n, i] = v[begin + i]
