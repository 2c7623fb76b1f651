"""Operations across the lanes of vectors: sums and transposes."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from surnn.kernels.simd import INT, pointer_to, same, vector_at

__all__ = ["shuffle", "store_sums", "sum_lanes", "transpose16"]


def shuffle(builder, a, b, order):
    """LLVM vector of the numbers of a and b, one after the other, that `order` names."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT, len(order)), order))


def sum_lanes(builder, v):
    """LLVM vector of four numbers: the sums of the lanes of each of four vectors of 16.

    Always the same tree: halves, quarters, pairs, neighbours.
    """
    low, high = list(range(8)), list(range(8, 16))

    def halves(x, y):
        return builder.fadd(
            shuffle(builder, x, y, low + [16 + i for i in low]),
            shuffle(builder, x, y, high + [16 + i for i in high]),
        )

    def swapped(distance):
        return [i ^ distance for i in range(16)]

    ab, cd = halves(v[0], v[1]), halves(v[2], v[3])
    first = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]
    quarters = builder.fadd(
        shuffle(builder, ab, cd, first), shuffle(builder, ab, cd, [i + 4 for i in first])
    )
    pairs = builder.fadd(quarters, shuffle(builder, quarters, quarters, swapped(2)))
    sums = builder.fadd(pairs, shuffle(builder, pairs, pairs, swapped(1)))
    return shuffle(builder, sums, sums, [0, 4, 8, 12])


@intrinsic
def store_sums(typing, array, index, a, b, c, d, bias, first):
    """array[index : index + 4] = bias[first : first + 4] + the sums of the lanes of a, b, c, d."""

    def build(context, builder, sig, args):
        four = sum_lanes(builder, args[2:6])
        added = vector_at(context, builder, sig.args[6], args[6], args[7], 4)
        total = builder.fadd(four, added)
        vector_at(context, builder, sig.args[0], args[0], args[1], 4, store=total)
        return context.get_dummy_value()

    ok = same(a, b, c, d) and a.lanes == 16
    return (types.void(array, types.intp, a, b, c, d, bias, types.intp), build) if ok else None


@intrinsic
def transpose16(typing, source, starts, offset, target, place):
    """target[place + 16 * i + j] = source[starts[j] + offset + i] for i, j in 0..15."""

    def build(context, builder, sig, args):
        begins = context.make_array(sig.args[1])(context, builder, args[1]).data
        rows = []
        for j in range(16):
            start = builder.load(builder.gep(begins, [ir.Constant(ir.IntType(64), j)]))
            index = builder.add(start, args[2])
            pointer = pointer_to(context, builder, sig.args[0], args[0], index, 16)
            rows.append(builder.load(pointer, align=4))
        # Four rounds of swapping off-diagonal blocks: 8x8, 4x4, 2x2, 1x1.
        for step in (8, 4, 2, 1):
            order = list(range(16))
            upper = [i if not i & step else 16 + (i ^ step) for i in order]
            lower = [i | step if not i & step else 16 + i for i in order]
            for j in range(16):
                if not j & step:
                    a, b = rows[j], rows[j | step]
                    rows[j] = shuffle(builder, a, b, upper)
                    rows[j | step] = shuffle(builder, a, b, lower)
        index = args[4]
        for row in rows:
            pointer = pointer_to(context, builder, sig.args[3], args[3], index, 16)
            builder.store(row, pointer, align=4)
            index = builder.add(index, ir.Constant(ir.IntType(64), 16))
        return context.get_dummy_value()

    return types.void(source, starts, types.intp, target, types.intp), build
