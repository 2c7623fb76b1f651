"""What tells the cells apart: rows of weights, sums, and the update of a neuron.

Kernels take the states of a layer as one of the tuples below; its type says which cell it is, so
each cell gets machine code of its own. A neuron has G rows of weights, one for each gate, and R
sums with a bias each: its gates', or one more where a gate keeps its sums over x and h apart.

    cell    gates        sums            states
    suRNN   n            n               h
    suGRU   z, r, n      z, r, n of x, n of h   h
    suLSTM  i, f, g, o   i, f, g, o      h, c

Equations: `surnn.nn.cells`. A function's plain body serves Python; kernels get the `overload`s.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from surnn.kernels.activations import sigmoid, tanh
from surnn.kernels.simd import fma, load, splat, zeros16
from surnn.kernels.sums import fold, last_gates, without_last_gates
from surnn.types import Float32

__all__ = [
    "SuGRU",
    "SuLSTM",
    "SuRNN",
    "after_inputs",
    "all_sums",
    "gates_of",
    "load_rows",
    "memory_of",
    "remembers",
    "start_hidden",
    "sums_of",
    "update",
]

_INLINE: Any = {"forceinline": True, "error_model": "numpy", "nogil": True}
_ZERO = np.float32(0.0)


class SuRNN(NamedTuple):
    """States of a layer of suRNN in a pool."""

    h: Float32
    """[capacity, H]"""


class SuGRU(NamedTuple):
    """States of a layer of suGRU in a pool."""

    h: Float32
    """[capacity, H]"""


class SuLSTM(NamedTuple):
    """States of a layer of suLSTM in a pool."""

    h: Float32
    """[capacity, H]"""
    c: Float32
    """[capacity, H]"""


def _choose(cell, rnn, gru, lstm):
    return {SuRNN: rnn, SuGRU: gru, SuLSTM: lstm}[cell.instance_class]


def gates_of(cell):
    """As many vectors of zeros as the cell has gates."""
    raise NotImplementedError


@overload(gates_of, jit_options=_INLINE)
def _gates_of(cell):
    def one(cell):
        return (zeros16(),)

    def three(cell):
        return (zeros16(), zeros16(), zeros16())

    def four(cell):
        return (zeros16(), zeros16(), zeros16(), zeros16())

    return _choose(cell, one, three, four)


def sums_of(cell):
    """As many vectors of zeros as the cell has sums."""
    raise NotImplementedError


@overload(sums_of, jit_options=_INLINE)
def _sums_of(cell):
    def one(cell):
        return (zeros16(),)

    def four(cell):
        return (zeros16(), zeros16(), zeros16(), zeros16())

    return _choose(cell, one, four, four)


def remembers(cell):
    """Has each neuron a second state, which only the neuron itself reads?"""
    raise NotImplementedError


@overload(remembers, jit_options=_INLINE)
def _remembers(cell):
    return _choose(cell, lambda cell: False, lambda cell: False, lambda cell: True)


def memory_of(cell):
    """That second state in the pool; any array where there is none."""
    raise NotImplementedError


@overload(memory_of, jit_options=_INLINE)
def _memory_of(cell):
    return _choose(cell, lambda cell: cell.h, lambda cell: cell.h, lambda cell: cell.c)


def after_inputs(cell, sums, begins):
    """Sums of S sessions over x → where those over h go on from, and what was put aside."""
    raise NotImplementedError


@overload(after_inputs, jit_options=_INLINE)
def _after_inputs(cell, sums, begins):
    def on(cell, sums, begins):
        return sums, last_gates(sums, begins)

    def apart(cell, sums, begins):
        return without_last_gates(sums, begins), last_gates(sums, begins)

    return _choose(cell, on, apart, on)


def start_hidden(cell, sums, bias, at):
    """A block's gate sums over x → where those over h go on from; biases lie at `at`."""
    raise NotImplementedError


@overload(start_hidden, jit_options=_INLINE)
def _start_hidden(cell, sums, bias, at):
    def on(cell, sums, bias, at):
        return sums

    def apart(cell, sums, bias, at):
        return (sums[0], sums[1], load(bias, at + 48, sums[0]))

    return _choose(cell, on, apart, on)


def all_sums(cell, of_x, gates):
    """A block's R sums, from the gates' sums over x alone and those over all."""
    raise NotImplementedError


@overload(all_sums, jit_options=_INLINE)
def _all_sums(cell, of_x, gates):
    def same(cell, of_x, gates):
        return gates

    def apart(cell, of_x, gates):
        return (gates[0], gates[1], of_x[2], gates[2])

    return _choose(cell, same, apart, same)


def load_rows(cell, array, at, step):
    """The R sums that lie `step` numbers apart."""
    raise NotImplementedError


@overload(load_rows, jit_options=_INLINE)
def _load_rows(cell, array, at, step):
    def one(cell, array, at, step):
        return (load(array, at, zeros16()),)

    def four(cell, array, at, step):
        like = zeros16()
        return (
            load(array, at, like),
            load(array, at + step, like),
            load(array, at + 2 * step, like),
            load(array, at + 3 * step, like),
        )

    return _choose(cell, one, four, four)


def update(cell, sums, old, memory):
    """New state and new memory of as many neurons as `old` holds, from R sums with biases."""
    raise NotImplementedError


@overload(update, jit_options=_INLINE)
def _update(cell, sums, old, memory):
    def rnn(cell, sums, old, memory):
        return tanh(fold(sums[0], old)), memory

    def gru(cell, sums, old, memory):
        # 1 - z, which keeps its digits where z is near 1.
        q = sigmoid(splat(_ZERO, old) - fold(sums[0], old))
        r = sigmoid(fold(sums[1], old))
        n = tanh(fma(r, fold(sums[3], old), fold(sums[2], old)))
        return fma(q, n - old, old), memory

    def lstm(cell, sums, old, memory):
        i, f = sigmoid(fold(sums[0], old)), sigmoid(fold(sums[1], old))
        g, o = tanh(fold(sums[2], old)), sigmoid(fold(sums[3], old))
        c = fma(f, memory, i * g)
        return o * tanh(c), c

    return _choose(cell, rnn, gru, lstm)
