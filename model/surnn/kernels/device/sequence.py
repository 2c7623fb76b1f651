"""suGRU over whole sequences for training: all frames in one launch, forward and backward.

The states of all frames are kept, as the gradient needs them, so nothing is updated in place: a
frame reads the row above and writes its own. Sizes as in `surnn.kernels.device.tiled`.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from surnn.kernels.device.numeric import tanh
from surnn.kernels.device.tiled import Tiles

__all__ = ["backward_kernel", "backward_loop", "forward_kernel", "forward_loop"]


@triton.jit
def forward_kernel(
    x, gates, u, c, states, zr, n_all, hu_all, steps, batch, hidden,
    BB: tl.constexpr, BJ: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """All frames of BB sequences, see `forward_loop`."""
    b = tl.program_id(0) * BB + tl.arange(0, BB)
    k = tl.arange(0, BK)
    live = (b < batch)[:, None]
    for t in range(steps):
        row = (t * batch + b).to(tl.int64)
        before = states + row[:, None] * hidden
        for first in range(0, hidden, BJ):
            j = first + tl.arange(0, BJ)
            inside = live & (j < hidden)[None, :]
            sz = tl.zeros((BB, BJ), tl.float32)
            sr = tl.zeros((BB, BJ), tl.float32)
            sn = tl.zeros((BB, BJ), tl.float32)
            for begin in range(0, hidden, BK):
                at = begin + k
                h = tl.load(before + at[None, :], mask=live & (at < hidden)[None, :], other=0.0)
                w = u + j[None, :] * hidden + at[:, None]
                used = (j < hidden)[None, :] & (at < hidden)[:, None]
                wz = tl.load(w, mask=used, other=0.0)
                wr = tl.load(w + hidden * hidden, mask=used, other=0.0)
                wn = tl.load(w + 2 * hidden * hidden, mask=used, other=0.0)
                sz += tl.dot(h, wz, input_precision="ieee")
                sr += tl.dot(h, wr, input_precision="ieee")
                sn += tl.dot(h, wn, input_precision="ieee")
            wide = x + row[:, None] * (3 * hidden) + j[None, :]
            z = tl.sigmoid(sz + tl.load(wide, mask=inside, other=0.0))
            r = tl.sigmoid(sr + tl.load(wide + hidden, mask=inside, other=0.0))
            hu = sn + tl.load(c + j, mask=j < hidden, other=0.0)[None, :]
            n = tanh(tl.load(wide + 2 * hidden, mask=inside, other=0.0) + r * hu)
            h = tl.load(before + j[None, :], mask=inside, other=0.0)
            at_row = row[:, None] * hidden + j[None, :]
            is_open = tl.load(gates + at_row, mask=inside, other=0.0) > 0.0
            after = states + (row + batch)[:, None] * hidden + j[None, :]
            tl.store(after, tl.where(is_open, (1.0 - z) * n + z * h, h), mask=inside)
            pair = zr + row[:, None] * (2 * hidden) + j[None, :]
            tl.store(pair, z, mask=inside)
            tl.store(pair + hidden, r, mask=inside)
            tl.store(n_all + at_row, n, mask=inside)
            tl.store(hu_all + at_row, hu, mask=inside)
        tl.debug_barrier()


def forward_loop(
    x: Tensor, gates: Tensor, h0: Tensor, u: Tensor, c: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """States [T + 1, B, H] with h0 in front, and of each frame z and r [T, B, 2H], n, and
    U_n h + c_n [T, B, H]. Arguments as for `surnn.nn.cells.sugru.sugru_sequence`, float32."""
    steps, batch, hidden = gates.shape
    states = x.new_empty(steps + 1, batch, hidden)
    states[0] = h0
    zr = x.new_empty(steps, batch, 2 * hidden)
    n, hu = x.new_empty(steps, batch, hidden), x.new_empty(steps, batch, hidden)
    if batch and steps:
        forward_kernel[(triton.cdiv(batch, Tiles.SESSIONS),)](
            x.contiguous(), gates.contiguous(), u.contiguous(), c.contiguous(), states, zr, n, hu,
            steps, batch, hidden,
            BB=Tiles.SESSIONS, BJ=Tiles.NEURONS, BK=Tiles.DEPTH,
            num_warps=Tiles.WARPS, num_stages=1,
        )  # fmt: skip
    return states, zr, n, hu


@triton.jit
def backward_kernel(
    grad, factors, carry, u, dh, totals, d_hu, steps, batch, hidden,
    BB: tl.constexpr, BJ: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """All frames of BB sequences, last to first, see `backward_loop`."""
    b = tl.program_id(0) * BB + tl.arange(0, BB)
    k = tl.arange(0, BK)
    live = (b < batch)[:, None]
    mine = dh + b.to(tl.int64)[:, None] * hidden
    for step in range(steps):
        row = ((steps - 1 - step) * batch + b).to(tl.int64)
        for first in range(0, hidden, BJ):
            j = first + tl.arange(0, BJ)
            inside = live & (j < hidden)[None, :]
            at_row = row[:, None] * hidden + j[None, :]
            total = tl.load(grad + at_row, mask=inside, other=0.0)
            total += tl.load(mine + j[None, :], mask=inside, other=0.0)
            tl.store(totals + at_row, total, mask=inside)
            wide = row[:, None] * (3 * hidden) + j[None, :]
            for gate in range(3):
                factor = tl.load(factors + wide + gate * hidden, mask=inside, other=0.0)
                tl.store(d_hu + wide + gate * hidden, total * factor, mask=inside)
        # dh mixes the gradients of all neurons: they must all be there.
        tl.debug_barrier()
        for first in range(0, hidden, BJ):
            j = first + tl.arange(0, BJ)
            inside = live & (j < hidden)[None, :]
            at_row = row[:, None] * hidden + j[None, :]
            d = tl.load(totals + at_row, mask=inside, other=0.0)
            d *= tl.load(carry + at_row, mask=inside, other=0.0)
            for begin in range(0, 3 * hidden, BK):
                at = begin + k
                g = tl.load(
                    d_hu + row[:, None] * (3 * hidden) + at[None, :],
                    mask=live & (at < 3 * hidden)[None, :], other=0.0,
                )  # fmt: skip
                w = tl.load(
                    u + at[:, None] * hidden + j[None, :],
                    mask=(at < 3 * hidden)[:, None] & (j < hidden)[None, :], other=0.0,
                )  # fmt: skip
                d += tl.dot(g, w, input_precision="ieee")
            tl.store(mine + j[None, :], d, mask=inside)
        tl.debug_barrier()


def backward_loop(
    grad: Tensor, factors: Tensor, carry: Tensor, u: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient for h0 [B, H], of each frame's new state [T, B, H], and of U h [T, B, 3H].

    Args:
        grad: of the states after each frame [T, B, H].
        factors: from a new state's gradient to that of U h [T, B, 3H].
        carry: from a new state's gradient to the old one's, past U [T, B, H].
        u: [3H, H].
    """
    steps, batch, hidden = carry.shape
    dh = grad.new_zeros(batch, hidden)
    totals = grad.new_empty(steps, batch, hidden)
    d_hu = grad.new_empty(steps, batch, 3 * hidden)
    if batch and steps:
        backward_kernel[(triton.cdiv(batch, Tiles.SESSIONS),)](
            grad.contiguous(), factors.contiguous(), carry.contiguous(), u.contiguous(),
            dh, totals, d_hu, steps, batch, hidden,
            BB=Tiles.SESSIONS, BJ=Tiles.NEURONS, BK=Tiles.DEPTH,
            num_warps=Tiles.WARPS, num_stages=1,
        )  # fmt: skip
    return dh, totals, d_hu
