"""The two loops of a suGRU's training, frame by frame with torch's operations.

`surnn.kernels.device.sequence` holds the same functions for GPUs: one launch for all frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["backward_loop", "forward_loop"]


def forward_loop(
    x: Tensor, gates: Tensor, h0: Tensor, u: Tensor, c: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """States [T + 1, B, H] with h0 in front, and of each frame z and r [T, B, 2H], n, and
    U_n h + c_n [T, B, H]. Arguments as for `surnn.nn.cells.sugru.sugru_sequence`."""
    steps, _, hidden = gates.shape
    ut = u.T.contiguous()
    bias = torch.cat([c.new_zeros(2 * hidden), c])
    is_open = gates > 0
    states = x.new_empty(steps + 1, *h0.shape)
    zr_all = x.new_empty(steps, h0.shape[0], 2 * hidden)
    n_all, hu_all = torch.empty_like(gates), torch.empty_like(gates)
    states[0] = h = h0
    for i in range(steps):
        hu = torch.addmm(bias, h, ut)
        zr = torch.sigmoid(
            torch.add(x[i, :, : 2 * hidden], hu[:, : 2 * hidden], out=zr_all[i]), out=zr_all[i]
        )
        hu_n = hu[:, 2 * hidden :]
        n = torch.tanh(torch.addcmul(x[i, :, 2 * hidden :], zr[:, hidden:], hu_n), out=n_all[i])
        hu_all[i] = hu_n
        z = zr[:, :hidden]
        h = torch.where(is_open[i], (1 - z) * n + z * h, h, out=states[i + 1])
    return states, zr_all, n_all, hu_all


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
    d_hu = torch.empty_like(factors)
    totals = torch.empty_like(carry)
    dh = grad.new_zeros(grad.shape[1:])
    for i in range(len(carry) - 1, -1, -1):
        total = torch.add(grad[i], dh, out=totals[i])
        d = torch.mul(total.repeat(1, 3), factors[i], out=d_hu[i])
        dh = torch.addmm(total * carry[i], d, u)
    return dh, totals, d_hu
