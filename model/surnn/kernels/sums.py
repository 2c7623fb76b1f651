"""Tuples of vectors: the sums of several gates, of several sessions, as one value.

A tuple's length is part of its type, so the loops below are unrolled by the compiler and every
vector stays in a register. Sums of S sessions over G gates lie session by session, S * G vectors.
`begins` is a tuple of S places, one for each session; `gates` is any tuple of G vectors.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from surnn.kernels.shuffles import shuffle, sum_lanes
from surnn.kernels.simd import (
    FLOAT,
    VECTOR16,
    broadcast,
    fused_multiply_add,
    vector_at,
    vector_constant,
)

__all__ = [
    "add_columns",
    "add_kept",
    "add_loaded",
    "add_products",
    "fold",
    "keep",
    "last_gates",
    "load_row_sums",
    "no_sums",
    "store_row_sums",
    "without_last_gates",
]


def _vectors(count):
    return types.UniTuple(VECTOR16, count)


def _pack(context, builder, sig, values):
    return context.make_tuple(builder, sig.return_type, values)


def _unpack(builder, value):
    return cgutils.unpack_tuple(builder, value)


def _offset(builder, index, more):
    return builder.add(index, ir.Constant(index.type, more))


@intrinsic
def no_sums(typing, gates, begins):
    """S * G vectors of zeros."""

    def build(context, builder, sig, args):
        zero = vector_constant(VECTOR16, 0.0)
        return _pack(context, builder, sig, [zero] * len(sig.return_type))

    return _vectors(len(gates) * len(begins))(gates, begins), build


@intrinsic
def add_columns(typing, weights, at, v, begins, column, like, sums):
    """sums + (16 weights at `at` of each gate) * v[begin + column], for each session.

    16 weights are one column of 16 neurons or, where `like` holds 8, two columns of 8 neurons,
    which lie lane by lane: both columns' numbers are then taken from v.
    """
    columns = 16 // like.lanes

    def build(context, builder, sig, args):
        own = _unpack(builder, args[6])
        gates = len(own) // len(begins)
        loaded = [
            vector_at(context, builder, sig.args[0], args[0], _offset(builder, args[1], 16 * g), 16)
            for g in range(gates)
        ]
        found = []
        for s, begin in enumerate(_unpack(builder, args[3])):
            place = builder.add(begin, args[4])
            value = vector_at(context, builder, sig.args[2], args[2], place, columns)
            value = broadcast(builder, value, columns, 16)
            for g in range(gates):
                total = own[s * gates + g]
                found.append(fused_multiply_add(builder, loaded[g], value, total, 16))
        return _pack(context, builder, sig, found)

    return sums(weights, types.intp, v, begins, types.intp, like, sums), build


@intrinsic
def add_products(typing, weights, at, step, v, begins, k, sums):
    """sums + weights[at + g * step + k :] * v[begin + k :] for gate g, for each session."""

    def build(context, builder, sig, args):
        own = _unpack(builder, args[6])
        gates = len(own) // len(begins)
        place, loaded = builder.add(args[1], args[5]), []
        for _ in range(gates):
            loaded.append(vector_at(context, builder, sig.args[0], args[0], place, 16))
            place = builder.add(place, args[2])
        found = []
        for s, begin in enumerate(_unpack(builder, args[4])):
            place = builder.add(begin, args[5])
            value = vector_at(context, builder, sig.args[3], args[3], place, 16)
            for g in range(gates):
                total = own[s * gates + g]
                found.append(fused_multiply_add(builder, loaded[g], value, total, 16))
        return _pack(context, builder, sig, found)

    return sums(weights, types.intp, types.intp, v, begins, types.intp, sums), build


@intrinsic
def add_loaded(typing, array, at, sums):
    """sums + the vectors that lie one after the other at `at`."""

    def build(context, builder, sig, args):
        found = [
            builder.fadd(
                total,
                vector_at(
                    context, builder, sig.args[0], args[0], _offset(builder, args[1], 16 * i), 16
                ),
            )
            for i, total in enumerate(_unpack(builder, args[2]))
        ]
        return _pack(context, builder, sig, found)

    return sums(array, types.intp, sums), build


@intrinsic
def keep(typing, array, at, sums):
    """Store the vectors one after the other."""

    def build(context, builder, sig, args):
        for i, total in enumerate(_unpack(builder, args[2])):
            place = _offset(builder, args[1], 16 * i)
            vector_at(context, builder, sig.args[0], args[0], place, 16, store=total)
        return context.get_dummy_value()

    return types.void(array, types.intp, sums), build


@intrinsic
def add_kept(typing, array, step, last, begins, sums):
    """Add each session's sums to the vectors at s * step, its last gate's to vector `last`."""

    def build(context, builder, sig, args):
        own = _unpack(builder, args[4])
        gates, first = len(own) // len(begins), ir.Constant(args[1].type, 0)
        for s in range(len(begins)):
            for g in range(gates):
                place = _offset(builder, first, 16 * g)
                if g == gates - 1:
                    sixteen = ir.Constant(args[2].type, 16)
                    place = builder.add(first, builder.mul(args[2], sixteen))
                at = (context, builder, sig.args[0], args[0], place, 16)
                vector_at(*at, store=builder.fadd(vector_at(*at), own[s * gates + g]))
            first = builder.add(first, args[1])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, begins, sums), build


@intrinsic
def last_gates(typing, sums, begins):
    """Each session's sum of its last gate."""
    gates = len(sums) // len(begins)

    def build(context, builder, sig, args):
        return _pack(context, builder, sig, _unpack(builder, args[0])[gates - 1 :: gates])

    return _vectors(len(begins))(sums, begins), build


@intrinsic
def without_last_gates(typing, sums, begins):
    """The sums, with zeros for each session's last gate."""
    gates = len(sums) // len(begins)

    def build(context, builder, sig, args):
        own = _unpack(builder, args[0])
        own[gates - 1 :: gates] = [vector_constant(VECTOR16, 0.0)] * len(begins)
        return _pack(context, builder, sig, own)

    return sums(sums, begins), build


@intrinsic
def store_row_sums(typing, array, index, sums, apart, begins, bias, first, rows):
    """array[4 (index + s) + r] = bias[first + r] + the lanes' sum of row r of session s, r < 4.

    A cell has as many rows as `rows`, at most 4: its gates, or one more, which is then that of
    `apart` and comes before the last gate. What else there is of the four means nothing.
    """
    gates = len(sums) // len(begins)

    def build(context, builder, sig, args):
        own, aside = _unpack(builder, args[2]), _unpack(builder, args[3])
        added = vector_at(context, builder, sig.args[5], args[5], args[6], 4)
        place = builder.mul(args[1], ir.Constant(args[1].type, 4))
        for s in range(len(begins)):
            four = own[s * gates : (s + 1) * gates]
            if len(rows) > gates:
                four.insert(gates - 1, aside[s])
            four += [vector_constant(VECTOR16, 0.0)] * (4 - len(four))
            total = builder.fadd(sum_lanes(builder, four), added)
            vector_at(context, builder, sig.args[0], args[0], place, 4, store=total)
            place = _offset(builder, place, 4)
        return context.get_dummy_value()

    signature = types.void(array, types.intp, sums, apart, begins, bias, types.intp, rows)
    return signature, build


@intrinsic
def load_row_sums(typing, array, index, rows):
    """What `store_row_sums` left at index : index + 16, row by row."""

    def build(context, builder, sig, args):
        place = builder.mul(args[1], ir.Constant(args[1].type, 4))
        a, b, c, d = (
            vector_at(context, builder, sig.args[0], args[0], _offset(builder, place, 16 * i), 16)
            for i in range(4)
        )
        found = []
        for r in range(len(rows)):
            fourths = [*range(r, 32, 4)] * 2
            low, high = shuffle(builder, a, b, fourths), shuffle(builder, c, d, fourths)
            found.append(shuffle(builder, low, high, [*range(8), *range(16, 24)]))
        return _pack(context, builder, sig, found)

    return rows(array, types.intp, rows), build


@intrinsic
def fold(typing, vector, like):
    """The vector, as wide as `like`: 8 sums of neighbours where that holds 8."""

    def build(context, builder, sig, args):
        if like.lanes == 16:
            return args[0]
        order = ir.VectorType(ir.IntType(32), 8)
        nothing = ir.Constant(ir.VectorType(FLOAT, 16), ir.Undefined)
        even, odd = (
            builder.shuffle_vector(args[0], nothing, ir.Constant(order, list(range(begin, 16, 2))))
            for begin in (0, 1)
        )
        return builder.fadd(even, odd)

    return like(vector, like), build
