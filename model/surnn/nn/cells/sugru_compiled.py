"""The suGRU's sequence in compiled code, which computes what open neurons need and nothing else.

For training on a CPU, in float32; needs the `native` extra (numba). The same numbers as
`sugru_sequence` to rounding, and the same gradients: the fewer neurons are open, the sooner.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from surnn.kernels.cells import SuGRU
from surnn.kernels.training import train_backward, train_forward

__all__ = ["sugru_compiled"]

_LANES = 16


def _padded(count: int) -> int:
    return -(-count // _LANES) * _LANES


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gates: Tensor, h0: Tensor, w: Tensor, b: Tensor, u: Tensor, c: Tensor
    ) -> Tensor:
        hidden, inputs = gates.shape[2], x.shape[2]
        room = _padded(inputs)
        weights = x.new_zeros(hidden, 3, room + _padded(hidden))
        weights[..., :inputs] = w.view(3, hidden, inputs).transpose(0, 1)
        weights[..., room : room + hidden] = u.view(3, hidden, hidden).transpose(0, 1)
        bias = torch.cat([b.view(3, hidden), c[None]]).T.contiguous()
        # A switch learns from what it did not do: then closed neurons are computed as well.
        everywhere = ctx.needs_input_grad[1]
        x, gates, h0 = (y.detach().contiguous() for y in (x, gates, h0))
        entries = gates.numel() if everywhere else int((gates > 0).sum())
        states = torch.empty_like(gates)
        saved = x.new_empty(4, entries)
        train_forward(
            SuGRU(h0.numpy()), x.numpy(), gates.numpy(), everywhere, h0.numpy(), weights.numpy(),
            bias.numpy(), room, states.numpy(), saved.numpy(),
        )  # fmt: skip
        ctx.save_for_backward(x, gates, h0, weights, states, saved)
        ctx.everywhere = everywhere
        return states

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, gates, h0, weights, states, saved = ctx.saved_tensors
        hidden, inputs = gates.shape[2], x.shape[2]
        room = _padded(inputs)
        nothing = np.empty((0, 0, 0), np.float32)
        d_x = torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        d_gates = torch.empty_like(gates) if ctx.everywhere else None
        d_h0, d_weights = torch.empty_like(h0), torch.zeros_like(weights)
        d_bias = x.new_zeros(hidden, 4)
        train_backward(
            grads[0].contiguous().numpy(), x.numpy(), gates.numpy(), ctx.everywhere, h0.numpy(),
            weights.numpy(), room, states.numpy(), saved.numpy(),
            nothing if d_x is None else d_x.numpy(),
            nothing if d_gates is None else d_gates.numpy(),
            d_h0.numpy(), d_weights.numpy(), d_bias.numpy(),
        )  # fmt: skip
        d_w = d_weights[..., :inputs].transpose(0, 1).reshape(3 * hidden, inputs)
        d_u = d_weights[..., room : room + hidden].transpose(0, 1).reshape(3 * hidden, hidden)
        return d_x, d_gates, d_h0, d_w, d_bias[:, :3].T.reshape(-1), d_u, d_bias[:, 3]


def sugru_compiled(
    x: Tensor, gates: Tensor, h0: Tensor, w: Tensor, b: Tensor, u: Tensor, c: Tensor
) -> Tensor:
    """All hidden states [B, T, H] of x [B, T, I], gates [B, T, H], h0 [B, H] and the weights."""
    return cast(Tensor, _Compiled.apply(x, gates, h0, w, b, u, c))  # type: ignore[no-untyped-call]
