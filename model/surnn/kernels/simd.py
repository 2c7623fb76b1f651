"""Vectors of 8 or 16 float32 inside numba code.

Numba leaves vectorising to LLVM, which gives up on most loops here (rows of a weight matrix, FFT
butterflies) or chooses an order of summation of its own. These types say what is meant: one value
is one vector register, every operation is one LLVM instruction, and sums are taken in the order
written. Where registers are narrower, LLVM uses several (two for 16 numbers with AVX2, four with
NEON).

    v = load(a, i, zeros16())      # a[i : i + 16]; the third argument only says how wide
    s = fma(v, splat(2.0, v), s)   # v * 2 + s

Indices count elements from the start of the array's memory, whatever its shape; nothing checks
them.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

__all__ = [
    "FLOAT",
    "INT",
    "VECTOR16",
    "Vector",
    "broadcast",
    "data_of",
    "fma",
    "fused_multiply_add",
    "lanes",
    "load",
    "load_splat",
    "maximum",
    "minimum",
    "pick",
    "pointer_to",
    "prefetch",
    "same",
    "splat",
    "store",
    "vector_at",
    "vector_constant",
    "zeros8",
    "zeros16",
]

FLOAT = ir.FloatType()
INT = ir.IntType(32)
"""LLVM's float and its 32-bit integer."""


class Vector(types.Type):
    """A vector of `lanes` float32."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"float32x{lanes}")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, ir.VectorType(FLOAT, vector.lanes))


VECTOR8, VECTOR16 = Vector(8), Vector(16)


def vector_constant(vector: Vector, value: float) -> ir.Constant:
    """LLVM constant with the number in every lane."""
    return ir.Constant(ir.VectorType(FLOAT, vector.lanes), [value] * vector.lanes)


def same(*args) -> bool:
    """Are all of these the same vector type?"""
    return isinstance(args[0], Vector) and all(a == args[0] for a in args)


def data_of(context, builder, array_type, array):
    """LLVM pointer to an array's memory."""
    return context.make_array(array_type)(context, builder, array).data


def pointer_to(context, builder, array_type, array, index, lanes):
    """LLVM pointer to the vector that begins at an element of an array."""
    address = builder.gep(data_of(context, builder, array_type, array), [index])
    return builder.bitcast(address, ir.VectorType(FLOAT, lanes).as_pointer())


def vector_at(context, builder, array_type, array, index, lanes, store=None):
    """Load the vector that begins at an element of an array, or store one there."""
    pointer = pointer_to(context, builder, array_type, array, index, lanes)
    if store is None:
        return builder.load(pointer, align=4)
    return builder.store(store, pointer, align=4)


@intrinsic
def zeros8(typing):
    """Eight zeros."""
    return VECTOR8(), lambda context, builder, sig, args: vector_constant(VECTOR8, 0.0)


@intrinsic
def zeros16(typing):
    """Sixteen zeros."""
    return VECTOR16(), lambda context, builder, sig, args: vector_constant(VECTOR16, 0.0)


@intrinsic
def lanes(typing, like):
    """How many numbers `like` holds."""

    def build(context, builder, sig, args):
        return context.get_constant(types.intp, like.lanes)

    return types.intp(like), build


@intrinsic
def load(typing, array, index, like):
    """array[index : index + lanes], from memory order."""

    def build(context, builder, sig, args):
        pointer = pointer_to(context, builder, sig.args[0], args[0], args[1], like.lanes)
        return builder.load(pointer, align=4)

    return like(array, types.intp, like), build


@intrinsic
def prefetch(typing, array, index):
    """Ask for the cache line of an element, which may lie behind the array's end."""

    def build(context, builder, sig, args):
        address = builder.gep(data_of(context, builder, sig.args[0], args[0]), [args[1]])
        byte = ir.IntType(8).as_pointer()
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, INT, INT, INT]),
            "llvm.prefetch.p0i8",
        )
        # To be read, soon and again, as data.
        builder.call(function, [builder.bitcast(address, byte), INT(0), INT(3), INT(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), build


@intrinsic
def store(typing, array, index, vector):
    """array[index : index + lanes] = vector."""

    def build(context, builder, sig, args):
        pointer = pointer_to(context, builder, sig.args[0], args[0], args[1], vector.lanes)
        builder.store(args[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), build


def broadcast(builder, vector, lanes, wide):
    """LLVM vector of `wide` numbers: those of a narrow one, again and again."""
    nothing = ir.Constant(ir.VectorType(FLOAT, lanes), ir.Undefined)
    order = ir.Constant(ir.VectorType(INT, wide), [i % lanes for i in range(wide)])
    return builder.shuffle_vector(vector, nothing, order)


def _splat(builder, value, like):
    nothing = ir.Constant(ir.VectorType(FLOAT, like.lanes), ir.Undefined)
    single = builder.insert_element(nothing, value, ir.Constant(INT, 0))
    mask = ir.Constant(ir.VectorType(INT, like.lanes), [0] * like.lanes)
    return builder.shuffle_vector(single, nothing, mask)


@intrinsic
def splat(typing, value, like):
    """The number in every lane."""

    def build(context, builder, sig, args):
        return _splat(builder, args[0], like)

    return like(types.float32, like), build


@intrinsic
def load_splat(typing, array, index, like):
    """array[index] in every lane."""

    def build(context, builder, sig, args):
        data = data_of(context, builder, sig.args[0], args[0])
        value = builder.load(builder.gep(data, [args[1]]))
        return _splat(builder, value, like)

    return like(array, types.intp, like), build


def _binary(name):
    @intrinsic
    def operation(typing, a, b):
        def build(context, builder, sig, args):
            return getattr(builder, name)(*args)

        return (a(a, b), build) if same(a, b) else None

    return operation


_add, _sub, _mul, _div = (_binary(name) for name in ("fadd", "fsub", "fmul", "fdiv"))


@overload(operator.add)
def _overload_add(a, b):
    return (lambda a, b: _add(a, b)) if same(a, b) else None


@overload(operator.sub)
def _overload_sub(a, b):
    return (lambda a, b: _sub(a, b)) if same(a, b) else None


@overload(operator.mul)
def _overload_mul(a, b):
    return (lambda a, b: _mul(a, b)) if same(a, b) else None


@overload(operator.truediv)
def _overload_div(a, b):
    return (lambda a, b: _div(a, b)) if same(a, b) else None


def fused_multiply_add(builder, a, b, c, lanes):
    """LLVM's a * b + c."""
    kind = ir.VectorType(FLOAT, lanes)
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fmuladd.v{lanes}f32"
    )
    return builder.call(function, (a, b, c))


@intrinsic
def fma(typing, a, b, c):
    """a * b + c: rounded once where the processor can, which all with AVX2 or NEON do."""

    def build(context, builder, sig, args):
        return fused_multiply_add(builder, *args, a.lanes)

    return (a(a, b, c), build) if same(a, b, c) else None


def _choice(comparison):
    @intrinsic
    def operation(typing, a, b):
        def build(context, builder, sig, args):
            return builder.select(builder.fcmp_ordered(comparison, *args), *args)

        return (a(a, b), build) if same(a, b) else None

    return operation


# Comparisons with NaN are false, so a NaN in the first argument gives the second.
minimum = _choice("<")
"""minimum(a, b): the smaller of each lane; b where a is NaN."""
maximum = _choice(">")
"""maximum(a, b): the larger of each lane; b where a is NaN."""


@intrinsic
def pick(typing, vector, lane):
    """The number in one lane."""

    def build(context, builder, sig, args):
        return builder.extract_element(args[0], builder.trunc(args[1], INT))

    return types.float32(vector, types.int64), build
