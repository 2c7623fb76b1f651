"""The suGRU's sequence by the GRU of cuDNN, whose input also says which switches are closed.

A closed switch adds 10,000 to its neuron's update gate, which is then exactly 1: the state stays.
That holds backwards as well, for everything but the switches: a saturated gate says nothing about
what opening would have changed. So this is for training on a GPU with switches that do not learn.

Closed neurons are computed all the same, and may lose a last bit where the library writes
n + z (h - n): networks are trained with it, never served.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sugru_fused"]

_CLOSED = 1e4


def sugru_fused(
    x: Tensor, gates: Tensor, h0: Tensor, w: Tensor, b: Tensor, u: Tensor, c: Tensor
) -> Tensor:
    """All hidden states [B, T, H] of x [B, T, I], gates [B, T, H], h0 [B, H] and the weights.

    Gates get no gradient.
    """
    hidden, none = gates.shape[2], torch.zeros_like(u[: len(c)])
    shut = torch.cat([none, _CLOSED * torch.eye(hidden, out=torch.empty_like(none)), none])
    given = torch.cat([x, 1 - gates.detach()], dim=-1)
    zero = torch.zeros_like(c)
    weights = [
        torch.cat([_reordered(w), shut], dim=1),
        _reordered(u),
        _reordered(b),
        torch.cat([zero, zero, c]),
    ]
    states, _ = torch.gru(
        given,
        h0[None],
        weights,
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=True,
        bidirectional=False,
        batch_first=True,
    )
    return states


def _reordered(rows: Tensor) -> Tensor:
    """Rows z, r, n as r, z, n."""
    z, r, n = rows.chunk(3)
    return torch.cat([r, z, n])
