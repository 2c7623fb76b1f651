"""Which switches are open, for all frames of a batch: the integer clock, exact on the device.

The phase is `t * inc` modulo 2^32 in 64-bit integers, the sines come from the table of
`surnn.clock`, and every product and partial sum is a whole number below 2^24: float32 holds them
exactly in any order, so a clock's switches are the same bits on every runtime.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from surnn.clock import CLOCK_ONE, PHASE_BITS, SINE_TABLE, TABLE_SIZE

__all__ = ["switches", "switches_kernel", "switches_reference"]

_ROWS, _SWITCHES, _DEPTH, WARPS = 32, 32, 32, 8

_MASK = tl.constexpr(2**PHASE_BITS - 1)
_SHIFT = tl.constexpr(PHASE_BITS - 12)
_QUARTER = tl.constexpr(TABLE_SIZE // 4)
_WRAP = tl.constexpr(TABLE_SIZE - 1)
_UNIT = tl.constexpr(1.0 / CLOCK_ONE)


@triton.jit
def switches_kernel(
    starts, lengths, inc, table, amplitude, features, weight, bias, opened,
    rows, steps, clocks, depth, count,
    CLOCK: tl.constexpr, INPUT: tl.constexpr, BIAS: tl.constexpr,
    BN: tl.constexpr, BG: tl.constexpr, BC: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """One tile [BN, BG] of the switches, see `switches`."""
    n = tl.program_id(0).to(tl.int64) * BN + tl.arange(0, BN)
    g = tl.program_id(1) * BG + tl.arange(0, BG)
    alive = n < rows
    session, step = n // steps, n % steps
    valid = alive & (step < tl.load(lengths + session, mask=alive, other=0))
    inside = (g < count)[None, :]
    seen = tl.zeros((BN, BG), tl.float32)
    if INPUT:
        k = tl.arange(0, BK)
        for first in range(0, depth, BK):
            at_k = first + k
            x = tl.load(
                features + n[:, None] * depth + at_k[None, :],
                mask=alive[:, None] & (at_k < depth)[None, :],
                other=0.0,
            )
            w = tl.load(
                weight + at_k[:, None] * count + g[None, :],
                mask=(at_k < depth)[:, None] & inside,
                other=0.0,
            )
            seen += tl.dot(x, w, input_precision="ieee")
    a = tl.zeros((BN, BG), tl.float32)
    if CLOCK:
        c = tl.arange(0, BC)
        t = tl.load(starts + session, mask=alive, other=0) + step
        phase = (t[:, None] * tl.load(inc + c, mask=c < clocks, other=0)[None, :]) & _MASK
        index = phase >> _SHIFT
        sines = tl.load(table + index)
        cosines = tl.load(table + ((index + _QUARTER) & _WRAP))
        at = amplitude + c[:, None] * count + g[None, :]
        used = (c < clocks)[:, None] & inside
        a += tl.dot(sines, tl.load(at, mask=used, other=0.0), input_precision="ieee")
        at += clocks * count
        a += tl.dot(cosines, tl.load(at, mask=used, other=0.0), input_precision="ieee")
    if BIAS:
        a += tl.load(bias + g, mask=g < count, other=0.0)[None, :]
    if CLOCK:
        a *= _UNIT
    a += seen
    is_open = valid[:, None] & ((a > 0.0) if BIAS else (a == 0.0))
    tl.store(
        opened + n[:, None] * count + g[None, :], is_open.to(tl.uint8), mask=alive[:, None] & inside
    )


def switches(
    starts: Tensor,
    lengths: Tensor,
    features: Tensor,
    opened: Tensor,
    *,
    inc: Tensor | None,
    table: Tensor,
    amplitude: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    """Fill `opened` with 1 where a switch is open; closed behind a session's length.

    Args:
        starts: frame number of each session's first frame, int64 [B].
        lengths: frames of each session, int32 [B].
        features: what the switches see [B, T, F].
        opened: uint8 [B, T, G].
        inc: phase steps, int64 [K], where there is a clock.
        table: `SINE_TABLE` as float32.
        amplitude: whole numbers [2K, G]; bias is then whole too, in units of 1 / CLOCK_ONE.
        weight: [F, G], where the input counts.
        bias: [G]; None: every switch is open.
    """
    batch, steps, count = opened.shape
    rows = batch * steps
    if rows:
        clocks = 0 if inc is None else len(inc)
        grid = (triton.cdiv(rows, _ROWS), triton.cdiv(count, _SWITCHES))
        switches_kernel[grid](
            starts, lengths, starts if inc is None else inc, table,
            table if amplitude is None else amplitude, features,
            table if weight is None else weight, table if bias is None else bias, opened,
            rows, steps, clocks, features.shape[-1], count,
            CLOCK=inc is not None, INPUT=weight is not None, BIAS=bias is not None,
            BN=_ROWS, BG=_SWITCHES, BC=max(16, triton.next_power_of_2(clocks)), BK=_DEPTH,
            num_warps=WARPS, num_stages=1,
        )  # fmt: skip
    return opened


def switches_reference(
    starts: Tensor,
    lengths: Tensor,
    features: Tensor,
    *,
    inc: Tensor | None,
    amplitude: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    count: int,
) -> Tensor:
    """`switches`, in whole numbers and float64."""
    batch, steps, _ = features.shape
    a = torch.ones(batch, steps, count, dtype=torch.float64)
    if bias is not None:
        a = bias.double().expand(batch, steps, -1)
    if inc is not None:
        assert amplitude is not None
        t = starts[:, None] + torch.arange(steps)
        index = ((t[..., None] * inc) & (2**PHASE_BITS - 1)) >> (PHASE_BITS - 12)
        both = torch.cat([index, (index + TABLE_SIZE // 4) & (TABLE_SIZE - 1)], dim=-1)
        a = (torch.from_numpy(SINE_TABLE)[both].double() @ amplitude.double() + a) / CLOCK_ONE
    if weight is not None:
        a = a + features.double() @ weight.double()
    valid = torch.arange(steps) < lengths[:, None]
    return (a > 0) & valid[..., None]
