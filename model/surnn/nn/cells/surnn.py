"""suRNN: a plain tanh RNN behind binary switches (arXiv 2603.02226).

    f = tanh(W x + b + U h)
    h' = f where the switch is open, h (the same bits) where it is closed

With every switch open this is Elman's network, `torch.nn.RNN`.

`surnn_step` is the equations; `surnn_sequence` gives the same numbers for all frames, faster, and
has a backward pass of its own.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from surnn.nn.cells.base import CellOutput, RecurrentCell, State, gate_gradient

__all__ = ["SuRNN", "surnn_sequence", "surnn_step"]


def surnn_step(x: Tensor, gate: Tensor, h: Tensor, u: Tensor) -> Tensor:
    """One frame: x = W x + b [B, H], gate [B, H], h [B, H], u [H, H] → [B, H]."""
    f = torch.tanh(x + h @ u.T)
    return torch.where(gate > 0, f, h) + gate_gradient(gate, f - h)


class _Sequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gates: Tensor, h0: Tensor, u: Tensor) -> Tensor:
        ut = u.T.contiguous()
        is_open = gates > 0
        states = x.new_empty(len(x) + 1, *h0.shape)
        candidates = torch.empty_like(x)
        states[0] = h = h0
        for i in range(len(x)):
            f = torch.tanh(torch.addmm(x[i], h, ut), out=candidates[i])
            h = torch.where(is_open[i], f, h, out=states[i + 1])
        ctx.save_for_backward(gates, u, states, candidates)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        gates, u, states, f = ctx.saved_tensors
        (grad,) = grads
        before = states[:-1]
        factor, carry = gates * (1 - f * f), 1 - gates
        d_x, totals = torch.empty_like(f), torch.empty_like(f)
        dh = grad.new_zeros(grad.shape[1:])
        for i in range(len(grad) - 1, -1, -1):
            total = torch.add(grad[i], dh, out=totals[i])
            d = torch.mul(total, factor[i], out=d_x[i])
            dh = torch.addmm(total * carry[i], d, u)
        d_u = d_x.flatten(0, 1).T @ before.flatten(0, 1)
        return d_x, totals * (f - before), dh, d_u


def surnn_sequence(x: Tensor, gates: Tensor, h0: Tensor, u: Tensor) -> Tensor:
    """All frames: x [T, B, H], gates [T, B, H], h0 [B, H] → [T, B, H]: `surnn_step`, faster."""
    return cast(Tensor, _Sequence.apply(x, gates, h0, u))  # type: ignore[no-untyped-call]


class SuRNN(RecurrentCell):
    """One suRNN layer. U starts orthogonal: a tanh RNN forgets fast enough."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        bound = 1 / math.sqrt(hidden)
        self.weight_x = nn.Parameter(torch.empty(hidden, inputs).uniform_(-bound, bound))
        self.weight_h = nn.Parameter(torch.empty(hidden, hidden))
        nn.init.orthogonal_(self.weight_h)
        self.bias_x = nn.Parameter(torch.zeros(hidden))

    def step(self, x: Tensor, gate: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """See `RecurrentCell.step`."""
        projected = nn.functional.linear(x, self.weight_x, self.bias_x)
        h = surnn_step(projected, gate, state[0], self.weight_h)
        return h, gate, (h,)

    def forward(self, x: Tensor, gates: Tensor, state: State) -> CellOutput:
        """See `RecurrentCell.forward`."""
        projected = nn.functional.linear(x, self.weight_x, self.bias_x).transpose(0, 1)
        states = surnn_sequence(
            projected.contiguous(), gates.transpose(0, 1).contiguous(), state[0], self.weight_h
        )
        last = states[-1] if len(states) else state[0]
        return CellOutput(states.transpose(0, 1), gates, (last,))
