"""Matrix products whose rows do not depend on one another's number.

A library picks its algorithm, and with it the rounding, by the size of the batch. Here the tiles
are fixed, so a session's numbers are the same bits alone and in any company. Rows may overlap in
memory: a convolution over frames and a windowed transform are matrix products over strided rows.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["Epilogue", "linear", "linear_kernel", "linear_reference", "plain"]


class Epilogue:
    """What is done to the sums before they are stored."""

    NONE = 0
    RELU = 1
    SQUARE = 2
    LOG = 3
    """log(sum + 1e-10): the floor of `surnn.frontend.LOG_FLOOR`."""


_ROWS, _COLUMNS, _DEPTH, WARPS = 32, 32, 32, 4


@triton.jit
def linear_kernel(
    x, weight, bias, out, rows, per_batch, batch_stride, row_stride, depth, columns, out_stride,
    EPILOGUE: tl.constexpr, BIAS: tl.constexpr, ADD: tl.constexpr,
    BN: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One tile [BN, BM] of out = epilogue(x weight^T + bias), see `linear`."""
    n = tl.program_id(0).to(tl.int64) * BN + tl.arange(0, BN)
    m = tl.program_id(1) * BM + tl.arange(0, BM)
    k = tl.arange(0, BK)
    alive = n < rows
    start = x + (n // per_batch) * batch_stride + (n % per_batch) * row_stride
    total = tl.zeros((BN, BM), tl.float32)
    for first in range(0, depth, BK):
        at = first + k
        a = tl.load(
            start[:, None] + at[None, :], mask=alive[:, None] & (at < depth)[None, :], other=0.0
        )
        w = tl.load(
            weight + m[None, :] * depth + at[:, None],
            mask=(m < columns)[None, :] & (at < depth)[:, None],
            other=0.0,
        )
        total += tl.dot(a, w.to(tl.float32), input_precision=PRECISION)
    if BIAS:
        total += tl.load(bias + m, mask=m < columns, other=0.0)[None, :]
    if EPILOGUE == 1:
        total = tl.maximum(total, 0.0)
    elif EPILOGUE == 2:
        total = total * total
    elif EPILOGUE == 3:
        total = tl.log(total + 1e-10)
    where = out + n[:, None] * out_stride + m[None, :]
    inside = alive[:, None] & (m < columns)[None, :]
    if ADD:
        total += tl.load(where, mask=inside, other=0.0)
    tl.store(where, total, mask=inside)


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    out: Tensor,
    *,
    per_batch: int,
    batch_stride: int,
    row_stride: int,
    epilogue: int = Epilogue.NONE,
    add: bool = False,
    precision: str = "ieee",
) -> Tensor:
    """out[n] = epilogue(weight x_n + bias), or that added to out.

    Args:
        x: float32; row n begins at element n // per_batch * batch_stride + n % per_batch *
            row_stride, and its `depth` elements lie side by side.
        weight: [columns, depth], float32 or a 16-bit type; products are float32.
        bias: [columns], or None.
        out: filled, [rows, columns].
    """
    rows, columns = out.shape
    if rows:
        grid = (triton.cdiv(rows, _ROWS), triton.cdiv(columns, _COLUMNS))
        linear_kernel[grid](
            x, weight, weight if bias is None else bias, out,
            rows, per_batch, batch_stride, row_stride, weight.shape[1], columns, out.stride(0),
            EPILOGUE=epilogue, BIAS=bias is not None, ADD=add,
            BN=_ROWS, BM=_COLUMNS, BK=_DEPTH, PRECISION=precision,
            num_warps=WARPS, num_stages=1,
        )  # fmt: skip
    return out


def plain(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    out: Tensor,
    *,
    epilogue: int = Epilogue.NONE,
    add: bool = False,
    precision: str = "ieee",
) -> Tensor:
    """`linear` over rows that lie one after the other: x [rows, depth]."""
    return linear(
        x, weight, bias, out, per_batch=1, batch_stride=x.stride(0), row_stride=0,
        epilogue=epilogue, add=add, precision=precision,
    )  # fmt: skip


def linear_reference(
    x: Tensor, weight: Tensor, bias: Tensor | None, epilogue: int = Epilogue.NONE
) -> Tensor:
    """`plain` in float64: x [rows, depth]."""
    total = x.double() @ weight.double().T
    if bias is not None:
        total = total + bias.double()
    if epilogue == Epilogue.RELU:
        return torch.relu(total)
    if epilogue == Epilogue.SQUARE:
        return total.square()
    return torch.log(total + 1e-10) if epilogue == Epilogue.LOG else total
