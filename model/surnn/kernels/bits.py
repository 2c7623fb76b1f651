"""Comparisons of vectors as bits of an integer, and the bits that floats are made of."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from surnn.kernels.simd import FLOAT, INT, data_of, same

__all__ = [
    "bits_above",
    "column_bits",
    "count_bits",
    "exponent",
    "lowest_bit",
    "power_of_two",
    "select_bits",
    "significand",
]


@intrinsic
def bits_above(typing, a, b):
    """Bit i is set where a[i] > b[i]."""

    def build(context, builder, sig, args):
        above = builder.fcmp_ordered(">", *args)
        return builder.zext(builder.bitcast(above, ir.IntType(a.lanes)), ir.IntType(64))

    return (types.int64(a, b), build) if same(a, b) else None


@intrinsic
def select_bits(typing, bits, a, b):
    """a where the lane's bit is set, else b."""

    def build(context, builder, sig, args):
        narrow = builder.trunc(args[0], ir.IntType(a.lanes))
        mask = builder.bitcast(narrow, ir.VectorType(ir.IntType(1), a.lanes))
        return builder.select(mask, args[1], args[2])

    return (a(types.int64, a, b), build) if same(a, b) else None


@intrinsic
def lowest_bit(typing, bits):
    """Number of the lowest bit that is set in an int64 other than 0."""

    def build(context, builder, sig, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), build


@intrinsic
def count_bits(typing, bits):
    """How many bits are set in an int64."""

    def build(context, builder, sig, args):
        return builder.ctpop(args[0])

    return types.int64(types.int64), build


@intrinsic
def column_bits(typing, words, index, column):
    """Bit j is set where words[index + j] of a flat uint16 array has bit `column`, j < 64."""

    def build(context, builder, sig, args):
        wide = ir.VectorType(ir.IntType(16), 64)
        address = builder.gep(data_of(context, builder, sig.args[0], args[0]), [args[1]])
        loaded = builder.load(builder.bitcast(address, wide.as_pointer()), align=2)
        one = builder.shl(ir.Constant(ir.IntType(16), 1), builder.trunc(args[2], ir.IntType(16)))
        nothing = ir.Constant(wide, ir.Undefined)
        mask = builder.insert_element(nothing, one, ir.Constant(INT, 0))
        mask = builder.shuffle_vector(mask, nothing, ir.Constant(ir.VectorType(INT, 64), [0] * 64))
        zeros = ir.Constant(wide, [0] * 64)
        found = builder.icmp_unsigned("!=", builder.and_(loaded, mask), zeros)
        return builder.bitcast(found, ir.IntType(64))

    return types.int64(words, types.intp, types.int64), build


def _integers(vector):
    return ir.VectorType(INT, vector.lanes)


def _int_constant(vector, value):
    return ir.Constant(_integers(vector), [value] * vector.lanes)


@intrinsic
def power_of_two(typing, a):
    """2 ** a for whole numbers a from -126 to 127."""

    def build(context, builder, sig, args):
        whole = builder.fptosi(args[0], _integers(a))
        biased = builder.add(whole, _int_constant(a, 127))
        return builder.bitcast(
            builder.shl(biased, _int_constant(a, 23)), ir.VectorType(FLOAT, a.lanes)
        )

    return a(a), build


@intrinsic
def exponent(typing, a):
    """floor(log2(a)) of positive normal numbers."""

    def build(context, builder, sig, args):
        raw = builder.lshr(builder.bitcast(args[0], _integers(a)), _int_constant(a, 23))
        return builder.sitofp(
            builder.sub(raw, _int_constant(a, 127)), ir.VectorType(FLOAT, a.lanes)
        )

    return a(a), build


@intrinsic
def significand(typing, a):
    """a / 2 ** exponent(a), from 1 up to 2, of positive normal numbers."""

    def build(context, builder, sig, args):
        raw = builder.and_(builder.bitcast(args[0], _integers(a)), _int_constant(a, 0x7FFFFF))
        one = builder.or_(raw, _int_constant(a, 0x3F800000))
        return builder.bitcast(one, ir.VectorType(FLOAT, a.lanes))

    return a(a), build
