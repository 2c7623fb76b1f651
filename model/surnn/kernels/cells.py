"""What tells the cells apart: rows of weights, sums, and the update of a neuron.

Kernels take the states of a layer as one of the tuples below; its type says which cell it is, so
each cell gets machine code of its own. Inside a kernel, `kind_of` it stands for the cell: a value
without content, whereas passing arrays around costs counting references. A neuron has G rows of
weights, one for each gate, and R sums with a bias each: its gates', or one more where a gate keeps
its sums over x and h apart.

    cell    gates        sums            states
    suRNN   n            n               h
    suGRU   z, r, n      z, r, n of x, n of h   h
    suLSTM  i, f, g, o   i, f, g, o      h, c

Equations: `surnn.nn.cells`. A function's plain body serves Python; kernels get the `overload`s.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic, models, overload, register_model

from surnn.kernels.activations import sigmoid, tanh
from surnn.kernels.cache import INLINE_OPTIONS
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
    "kind_of",
    "load_rows",
    "memory_of",
    "remembers",
    "start_hidden",
    "sums_of",
    "update",
]

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


class Kind(types.Type):
    """Says which cell a kernel runs; holds nothing."""

    def __init__(self, states: type) -> None:
        self.states = states
        super().__init__(name=f"kind of {states.__name__}")


register_model(Kind)(models.OpaqueModel)


@intrinsic
def kind_of(typing, cell):
    """Which cell it is, from its states."""

    def build(context, builder, sig, args):
        return context.get_dummy_value()

    return Kind(cell.instance_class)(cell), build


def _choose(kind, rnn, gru, lstm):
    return {SuRNN: rnn, SuGRU: gru, SuLSTM: lstm}[kind.states]


def gates_of(kind):
    """As many vectors of zeros as the cell has gates."""
    raise NotImplementedError


@overload(gates_of, jit_options=INLINE_OPTIONS)
def _gates_of(kind):
    def one(kind):
        return (zeros16(),)

    def three(kind):
        return (zeros16(), zeros16(), zeros16())

    def four(kind):
        return (zeros16(), zeros16(), zeros16(), zeros16())

    return _choose(kind, one, three, four)


def sums_of(kind):
    """As many vectors of zeros as the cell has sums."""
    raise NotImplementedError


@overload(sums_of, jit_options=INLINE_OPTIONS)
def _sums_of(kind):
    def one(kind):
        return (zeros16(),)

    def four(kind):
        return (zeros16(), zeros16(), zeros16(), zeros16())

    return _choose(kind, one, four, four)


def remembers(kind):
    """Has each neuron a second state, which only the neuron itself reads?"""
    raise NotImplementedError


@overload(remembers, jit_options=INLINE_OPTIONS)
def _remembers(kind):
    return _choose(kind, lambda kind: False, lambda kind: False, lambda kind: True)


def memory_of(cell):
    """That second state in the pool; any array where there is none."""
    raise NotImplementedError


@overload(memory_of)
def _memory_of(cell):
    if cell.instance_class is SuLSTM:
        return lambda cell: cell.c
    return lambda cell: cell.h


def after_inputs(kind, sums, begins):
    """Sums of S sessions over x → where those over h go on from, and what was put aside."""
    raise NotImplementedError


@overload(after_inputs, jit_options=INLINE_OPTIONS)
def _after_inputs(kind, sums, begins):
    def on(kind, sums, begins):
        return sums, last_gates(sums, begins)

    def apart(kind, sums, begins):
        return without_last_gates(sums, begins), last_gates(sums, begins)

    return _choose(kind, on, apart, on)


def start_hidden(kind, sums, bias, at):
    """A block's gate sums over x → where those over h go on from; biases lie at `at`."""
    raise NotImplementedError


@overload(start_hidden, jit_options=INLINE_OPTIONS)
def _start_hidden(kind, sums, bias, at):
    def on(kind, sums, bias, at):
        return sums

    def apart(kind, sums, bias, at):
        return (sums[0], sums[1], load(bias, at + 48, sums[0]))

    return _choose(kind, on, apart, on)


def all_sums(kind, of_x, gates):
    """A block's R sums, from the gates' sums over x alone and those over all."""
    raise NotImplementedError


@overload(all_sums, jit_options=INLINE_OPTIONS)
def _all_sums(kind, of_x, gates):
    def same(kind, of_x, gates):
        return gates

    def apart(kind, of_x, gates):
        return (gates[0], gates[1], of_x[2], gates[2])

    return _choose(kind, same, apart, same)


def load_rows(kind, array, at, step):
    """The R sums that lie `step` numbers apart."""
    raise NotImplementedError


@overload(load_rows, jit_options=INLINE_OPTIONS)
def _load_rows(kind, array, at, step):
    def one(kind, array, at, step):
        return (load(array, at, zeros16()),)

    def four(kind, array, at, step):
        like = zeros16()
        return (
            load(array, at, like),
            load(array, at + step, like),
            load(array, at + 2 * step, like),
            load(array, at + 3 * step, like),
        )

    return _choose(kind, one, four, four)


def update(kind, sums, old, memory):
    """New state and new memory of as many neurons as `old` holds, from R sums with biases."""
    raise NotImplementedError


@overload(update, jit_options=INLINE_OPTIONS)
def _update(kind, sums, old, memory):
    def rnn(kind, sums, old, memory):
        return tanh(fold(sums[0], old)), memory

    def gru(kind, sums, old, memory):
        # 1 - z, which keeps its digits where z is near 1.
        q = sigmoid(splat(_ZERO, old) - fold(sums[0], old))
        r = sigmoid(fold(sums[1], old))
        n = tanh(fma(r, fold(sums[3], old), fold(sums[2], old)))
        return fma(q, n - old, old), memory

    def lstm(kind, sums, old, memory):
        i, f = sigmoid(fold(sums[0], old)), sigmoid(fold(sums[1], old))
        g, o = tanh(fold(sums[2], old)), sigmoid(fold(sums[3], old))
        c = fma(f, memory, i * g)
        return o * tanh(c), c

    return _choose(kind, rnn, gru, lstm)
