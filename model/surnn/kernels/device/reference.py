"""suGRU over a chunk, session by session and frame by frame, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["chunk_reference"]


def chunk_reference(
    pool: Tensor,
    rows: Tensor,
    lengths: Tensor,
    x: Tensor,
    opened: Tensor,
    weights: tuple[Tensor, Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """The pool after the chunk and the states after each frame [B, T, H], float64.

    Arguments as for `surnn.kernels.device.tiled.tiled_chunk`; nothing is changed in place.
    """
    wx, wh, bx, bh = (w.double().cpu() for w in weights)
    hidden, group = pool.shape[1], pool.shape[1] // opened.shape[-1]
    pool = pool.double().cpu().clone()
    out = torch.zeros(*opened.shape[:2], hidden, dtype=torch.float64)
    for b, row in enumerate(rows.tolist()):
        h = pool[row].clone()
        for t in range(int(lengths[b])):
            sx, sh = wx @ x[b, t].double().cpu() + bx, wh @ h
            z = torch.sigmoid(sx[:hidden] + sh[:hidden])
            r = torch.sigmoid(sx[hidden : 2 * hidden] + sh[hidden : 2 * hidden])
            n = torch.tanh(sx[2 * hidden :] + r * (sh[2 * hidden :] + bh))
            is_open = opened[b, t].cpu().repeat_interleave(group) != 0
            h = torch.where(is_open, (1 - z) * n + z * h, h)
            out[b, t] = h
        pool[row] = h
    return pool, out
