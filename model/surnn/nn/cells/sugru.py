"""suGRU: a gated recurrent unit behind binary switches (arXiv 2603.02226).

    z = sigmoid(W_z x + b_z + U_z h)                         update
    r = sigmoid(W_r x + b_r + U_r h)                         reset
    n = tanh(W_n x + b_n + r * (U_n h + c_n))                candidate; reset after the matmul
    f = (1 - z) * n + z * h
    h' = f where the switch is open, h (the same bits) where it is closed

Reset is applied after the matmul (Keras' reset_after, cuDNN's and ONNX's linear_before_reset=1):
only so does neuron i need nothing but its own three rows, which is what lets closed rows be
skipped. Rows of W, U and b are ordered z, r, n.

`sugru_step` is the equations; `sugru_sequence` gives the same numbers for all frames, faster, and
has a backward pass of its own.
"""

from __future__ import annotations

import math
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from surnn.nn import sequence
from surnn.nn.cells.base import CellOutput, RecurrentCell, State, gate_gradient

__all__ = ["SuGRU", "sugru_sequence", "sugru_step"]


def sugru_step(x: Tensor, gate: Tensor, h: Tensor, u: Tensor, c: Tensor) -> Tensor:
    """One frame: x = W x + b [B, 3H], gate [B, H], h [B, H], u [3H, H], c [H] → [B, H]."""
    hidden = h.shape[-1]
    hu = h @ u.T
    z = torch.sigmoid(x[:, :hidden] + hu[:, :hidden])
    r = torch.sigmoid(x[:, hidden : 2 * hidden] + hu[:, hidden : 2 * hidden])
    n = torch.tanh(x[:, 2 * hidden :] + r * (hu[:, 2 * hidden :] + c))
    f = (1 - z) * n + z * h
    return torch.where(gate > 0, f, h) + gate_gradient(gate, f - h)


def _loops(x: Tensor) -> ModuleType:
    """Who walks through the frames: compiled kernels where they run, else torch."""
    if x.is_cuda and x.dtype == torch.float32 and find_spec("triton"):
        return import_module("surnn.kernels.device.sequence")
    return sequence


class _Sequence(torch.autograd.Function):
    """The recurrence with its own backward pass: element-wise factors for all frames at once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gates: Tensor, h0: Tensor, u: Tensor, c: Tensor) -> Tensor:
        states: Tensor
        states, zr, n, hu_n = _loops(x).forward_loop(x, gates, h0, u, c)
        ctx.save_for_backward(gates, u, states, zr, n, hu_n)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        gates, u, states, zr, n, hu_n = ctx.saved_tensors
        (grad,) = grads
        hidden = gates.shape[-1]
        before = states[:-1]
        z, r = zr[..., :hidden], zr[..., hidden:]
        update = (1 - z) * n + z * before - before  # what an open switch changes
        by_n = gates * (1 - z) * (1 - n * n)
        # dh' -> d(pre-activations of z, r, n as U h sees them)
        factors = torch.cat(
            [gates * (before - n) * z * (1 - z), by_n * hu_n * r * (1 - r), by_n * r], dim=-1
        )
        carry = 1 - gates * (1 - z)
        dh, totals, d_hu = _loops(grad).backward_loop(grad, factors, carry, u)
        d_x = torch.cat([d_hu[..., : 2 * hidden], totals * by_n], dim=-1)
        d_u = d_hu.flatten(0, 1).T @ before.flatten(0, 1)
        d_c = d_hu[..., 2 * hidden :].sum(dim=(0, 1))
        return d_x, totals * update, dh, d_u, d_c


def sugru_sequence(x: Tensor, gates: Tensor, h0: Tensor, u: Tensor, c: Tensor) -> Tensor:
    """All frames: x [T, B, 3H], gates [T, B, H], h0 [B, H] → [T, B, H]: `sugru_step`, faster."""
    return cast(Tensor, _Sequence.apply(x, gates, h0, u, c))  # type: ignore[no-untyped-call]


class SuGRU(RecurrentCell):
    """One suGRU layer.

    `compiled` asks for `surnn.nn.cells.sugru_compiled` while training in float32 on a CPU.
    """

    compiled = False

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        bound = 1 / math.sqrt(hidden)
        self.weight_x = nn.Parameter(torch.empty(3 * hidden, inputs).uniform_(-bound, bound))
        self.weight_h = nn.Parameter(torch.empty(3 * hidden, hidden).uniform_(-bound, bound))
        self.bias_x = nn.Parameter(torch.zeros(3 * hidden))
        self.bias_h = nn.Parameter(torch.zeros(hidden))

    def step(self, x: Tensor, gate: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """See `RecurrentCell.step`."""
        projected = nn.functional.linear(x, self.weight_x, self.bias_x)
        h = sugru_step(projected, gate, state[0], self.weight_h, self.bias_h)
        return h, gate, (h,)

    def forward(self, x: Tensor, gates: Tensor, state: State) -> CellOutput:
        """See `RecurrentCell.forward`."""
        if self.compiled and self.scans and x.dtype == torch.float32 and not x.is_cuda:
            from surnn.nn.cells.sugru_compiled import sugru_compiled

            weights = (self.weight_x, self.bias_x, self.weight_h, self.bias_h)
            states = sugru_compiled(x, gates, state[0], *weights)
            return CellOutput(states, gates, (states[:, -1] if x.shape[1] else state[0],))
        projected = nn.functional.linear(x, self.weight_x, self.bias_x).transpose(0, 1)
        states = sugru_sequence(
            projected.contiguous(),
            gates.transpose(0, 1).contiguous(),
            state[0],
            self.weight_h,
            self.bias_h,
        )
        last = states[-1] if len(states) else state[0]
        return CellOutput(states.transpose(0, 1), gates, (last,))
