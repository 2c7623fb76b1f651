"""suGRU over a chunk with state and recurrent weights on the chip: for small layers.

A program loads U and the states of `SESSIONS` sessions once, walks through all frames of the
chunk, and stores open neurons only. Everything is computed, closed neurons too: per-neuron
switches of different sessions leave no tile without work.

What fits was found by compiling (`docs/gpu.md`): float32 weights up to 64 neurons, 16-bit weights
up to 128. A float16 tensor core takes float16 operands, so the state goes in as the sum of two:
hi + lo holds 22 of its bits, products and sums are float32.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import triton
import triton.language as tl
from torch import Tensor

from surnn.kernels.device.numeric import gru

__all__ = ["Resident", "fits", "resident_chunk", "resident_kernel"]


class Resident:
    """Sizes of one program, and the largest layers that it holds."""

    SESSIONS = 16
    MOST: ClassVar = {torch.float32: 64, torch.float16: 128}
    WARPS: ClassVar = {torch.float32: 16, torch.float16: 8}


def fits(hidden: int, dtype: torch.dtype) -> bool:
    """Does a layer's U of that type stay on the chip?"""
    return hidden <= Resident.MOST.get(dtype, 0)


@triton.jit
def resident_kernel(
    pool, rows, lengths, projected, opened, weight_h, bias_h, out, written,
    batch, steps, hidden, switches, group,
    COUNT: tl.constexpr, HALVES: tl.constexpr, BB: tl.constexpr, HP: tl.constexpr,
):  # fmt: skip
    """The chunks of BB sessions, see `resident_chunk`; HP is H up to a power of two."""
    b = tl.program_id(0) * BB + tl.arange(0, BB)
    j = tl.arange(0, HP)
    k = tl.arange(0, HP)
    live = b < batch
    length = tl.load(lengths + b, mask=live, other=0)
    states = pool + tl.load(rows + b, mask=live, other=0) * hidden
    neuron = j < hidden
    h = tl.load(states[:, None] + j[None, :], mask=live[:, None] & neuron[None, :], other=0.0)
    used = (k < hidden)[:, None] & neuron[None, :]
    w = weight_h + j[None, :] * hidden + k[:, None]
    uz = tl.load(w, mask=used, other=0.0)
    ur = tl.load(w + hidden * hidden, mask=used, other=0.0)
    un = tl.load(w + 2 * hidden * hidden, mask=used, other=0.0)
    c = tl.load(bias_h + j, mask=neuron, other=0.0)
    for t in range(tl.max(length, 0)):
        n = b.to(tl.int64) * steps + t
        inside = (t < length)[:, None] & neuron[None, :]
        is_open = tl.load(
            opened + n[:, None] * switches + (j // group)[None, :], mask=inside, other=0
        ) != 0  # fmt: skip
        x = projected + n[:, None] * (3 * hidden) + j[None, :]
        z = tl.load(x, mask=inside, other=0.0) + _product(h, uz, HALVES)
        r = tl.load(x + hidden, mask=inside, other=0.0) + _product(h, ur, HALVES)
        nh = _product(h, un, HALVES) + c[None, :]
        nx = tl.load(x + 2 * hidden, mask=inside, other=0.0)
        h = tl.where(is_open, gru(z, r, nx, nh, h), h)
        tl.store(states[:, None] + j[None, :], h, mask=is_open)
        tl.store(out + n[:, None] * hidden + j[None, :], h, mask=inside)
        if COUNT:
            tl.atomic_add(written, tl.sum(tl.sum(is_open.to(tl.int32), 1), 0).to(tl.int64))


@triton.jit
def _product(h, u, HALVES: tl.constexpr):
    if HALVES:
        hi = h.to(tl.float16)
        lo = (h - hi.to(tl.float32)).to(tl.float16)
        total = tl.dot(hi, u) + tl.dot(lo, u)
    else:
        total = tl.dot(h, u, input_precision="ieee")
    return total


def resident_chunk(
    pool: Tensor,
    rows: Tensor,
    lengths: Tensor,
    projected: Tensor,
    opened: Tensor,
    weight_h: Tensor,
    bias_h: Tensor,
    out: Tensor,
    *,
    written: Tensor | None = None,
) -> Tensor:
    """Advance the pool's rows in place; returns `out`, the states after every frame.

    Args:
        projected: weight_x x + bias_x, [B, T, 3H].
        weight_h: [3H, H], float32 or float16.

    The rest as for `surnn.kernels.device.tiled.tiled_chunk`.
    """
    batch, steps, hidden = out.shape
    if batch and steps:
        switches = opened.shape[-1]
        resident_kernel[(triton.cdiv(batch, Resident.SESSIONS),)](
            pool, rows, lengths, projected, opened, weight_h, bias_h, out,
            rows if written is None else written,
            batch, steps, hidden, switches, hidden // switches,
            COUNT=written is not None, HALVES=weight_h.dtype == torch.float16,
            BB=Resident.SESSIONS, HP=max(16, triton.next_power_of_2(hidden)),
            num_warps=Resident.WARPS[weight_h.dtype], num_stages=1,
        )  # fmt: skip
    return out
