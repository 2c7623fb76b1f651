"""suLSTM: a long short-term memory behind binary switches (arXiv 2603.02226).

    i = sigmoid(W_i x + b_i + U_i h)                         input
    f = sigmoid(W_f x + b_f + U_f h)                         forget
    g = tanh   (W_g x + b_g + U_g h)                         candidate
    o = sigmoid(W_o x + b_o + U_o h)                         output
    c~ = f * c + i * g,    h~ = o * tanh(c~)
    c', h' = c~, h~ where the switch is open, c, h (the same bits) where it is closed

A switch belongs to a neuron: it holds both of its numbers. Rows of W, U and b are ordered
i, f, g, o, as in `torch.nn.LSTM`.

`sulstm_step` is the equations; `sulstm_sequence` gives the same numbers for all frames, faster, and
has a backward pass of its own.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from surnn.nn.cells.base import CellOutput, RecurrentCell, State, gate_gradient

__all__ = ["SuLSTM", "sulstm_sequence", "sulstm_step"]


def sulstm_step(x: Tensor, gate: Tensor, h: Tensor, c: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """One frame: x = W x + b [B, 4H], gate, h and c [B, H], u [4H, H] → h' and c' [B, H]."""
    i, f, g, o = (x + h @ u.T).chunk(4, dim=-1)
    new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    new_h = torch.sigmoid(o) * torch.tanh(new_c)
    is_open = gate > 0
    return (
        torch.where(is_open, new_h, h) + gate_gradient(gate, new_h - h),
        torch.where(is_open, new_c, c) + gate_gradient(gate, new_c - c),
    )


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gates: Tensor, h0: Tensor, c0: Tensor, u: Tensor
    ) -> tuple[Tensor, Tensor]:
        hidden = h0.shape[-1]
        ut = u.T.contiguous()
        is_open = gates > 0
        hs = x.new_empty(len(x) + 1, *h0.shape)
        cs = torch.empty_like(hs)
        # sigmoid i, sigmoid f, tanh g, sigmoid o; and tanh c~
        acts, tanh_c = torch.empty_like(x), torch.empty_like(gates)
        hs[0], cs[0] = h, c = h0, c0
        candidate = slice(2 * hidden, 3 * hidden)
        for t in range(len(x)):
            pre = torch.addmm(x[t], h, ut)
            act = torch.sigmoid(pre, out=acts[t])
            act[:, candidate] = torch.tanh(pre[:, candidate])
            i, f, g, o = act.chunk(4, dim=-1)
            new_c = torch.addcmul(f * c, i, g)
            new_h = o * torch.tanh(new_c, out=tanh_c[t])
            c = torch.where(is_open[t], new_c, c, out=cs[t + 1])
            h = torch.where(is_open[t], new_h, h, out=hs[t + 1])
        ctx.save_for_backward(gates, u, hs, cs, acts, tanh_c)
        return hs[1:], cs[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        gates, u, hs, cs, acts, tanh_c = ctx.saved_tensors
        grad_h, grad_c = grads
        i, f, g, o = acts.chunk(4, dim=-1)
        before = cs[:-1]
        carry = 1 - gates
        # dc~ -> d(pre-activations of i, f, g); dh~ -> d(pre-activation of o) and dc~
        by_c = torch.cat([g * i * (1 - i), before * f * (1 - f), i * (1 - g * g)], dim=-1)
        by_o, h_to_c = tanh_c * o * (1 - o), o * (1 - tanh_c * tanh_c)
        d_x = torch.empty_like(acts)
        total_h, total_c = torch.empty_like(gates), torch.empty_like(gates)
        dh = dc = grad_h.new_zeros(grad_h.shape[1:])
        split = 3 * gates.shape[-1]
        for t in range(len(gates) - 1, -1, -1):
            at_h = torch.add(grad_h[t], dh, out=total_h[t])
            at_c = torch.add(grad_c[t], dc, out=total_c[t])
            open_h = at_h * gates[t]
            open_c = torch.addcmul(at_c * gates[t], open_h, h_to_c[t])
            torch.mul(open_c.repeat(1, 3), by_c[t], out=d_x[t, :, :split])
            torch.mul(open_h, by_o[t], out=d_x[t, :, split:])
            dh = torch.addmm(at_h * carry[t], d_x[t], u)
            dc = torch.addcmul(at_c * carry[t], open_c, f[t])
        d_u = d_x.flatten(0, 1).T @ hs[:-1].flatten(0, 1)
        change_c = torch.addcmul(f * before, i, g) - before
        d_gates = total_h * (o * tanh_c - hs[:-1]) + total_c * change_c
        return d_x, d_gates, dh, dc, d_u


def sulstm_sequence(
    x: Tensor, gates: Tensor, h0: Tensor, c0: Tensor, u: Tensor
) -> tuple[Tensor, Tensor]:
    """All frames: x [T, B, 4H], gates [T, B, H], h0 and c0 [B, H] → all h and all c [T, B, H].

    `sulstm_step`, faster.
    """
    found = _Sequence.apply(x, gates, h0, c0, u)  # type: ignore[no-untyped-call]
    return cast(tuple[Tensor, Tensor], found)


class SuLSTM(RecurrentCell):
    """One suLSTM layer. The forget gates start open: b_f = 1."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        bound = 1 / math.sqrt(hidden)
        self.weight_x = nn.Parameter(torch.empty(4 * hidden, inputs).uniform_(-bound, bound))
        self.weight_h = nn.Parameter(torch.empty(4 * hidden, hidden).uniform_(-bound, bound))
        bias = torch.zeros(4 * hidden)
        bias[hidden : 2 * hidden] = 1.0
        self.bias_x = nn.Parameter(bias)

    def step(self, x: Tensor, gate: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """See `RecurrentCell.step`."""
        projected = nn.functional.linear(x, self.weight_x, self.bias_x)
        h, c = sulstm_step(projected, gate, state[0], state[1], self.weight_h)
        return h, gate, (h, c)

    def forward(self, x: Tensor, gates: Tensor, state: State) -> CellOutput:
        """See `RecurrentCell.forward`."""
        projected = nn.functional.linear(x, self.weight_x, self.bias_x).transpose(0, 1)
        h, c = sulstm_sequence(
            projected.contiguous(),
            gates.transpose(0, 1).contiguous(),
            state[0],
            state[1],
            self.weight_h,
        )
        last = (h[-1], c[-1]) if len(h) else state
        return CellOutput(h.transpose(0, 1), gates, last)
