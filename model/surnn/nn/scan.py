"""Linear recurrences h[t] = a[t] * h[t - 1] + b[t] for all t at once.

Frames are cut into about sqrt(T) chunks of about sqrt(T) frames. All chunks run side by side from
zero, then their last states are chained, then what each chunk began with is added: about 2 sqrt(T)
steps in a row instead of T, with no logarithms, no divisions and no underflow. The sums are taken
in another order than frame by frame, so the last bits differ, unless a and b are such that nothing
is rounded. Training uses it; whatever serves a stream goes frame by frame.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor

__all__ = ["linear_scan"]


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """All h [T, B, H]: a [T, B, H] or [T, 1, H], b [T, B, H], h0 [B, H]; real or complex."""
    return cast(Tensor, _LinearScan.apply(a, b, h0))  # type: ignore[no-untyped-call]


class _LinearScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
        h = _scan(a, b, h0)
        ctx.save_for_backward(a, h, h0)
        return h

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """d b[t] = grad[t] + conj(a[t + 1]) * d b[t + 1]: the same recurrence, backwards."""
        a, h, h0 = ctx.saved_tensors
        (grad,) = grads
        factors = a.conj().resolve_conj()
        if not len(grad):
            return torch.zeros_like(a), torch.zeros_like(grad), torch.zeros_like(h0)
        later = torch.cat([torch.zeros_like(factors[:1]), factors[1:].flip(0)])
        d_b = _scan(later, grad.flip(0), torch.zeros_like(h0)).flip(0)
        before = torch.cat([h0[None], h[:-1]])
        d_a = d_b * before.conj()
        if a.shape[1] != d_a.shape[1]:
            d_a = d_a.sum(dim=1, keepdim=True)
        return d_a, d_b, factors[0] * d_b[0]


def _scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    steps = len(b)
    if not steps:
        return b
    size = math.isqrt(steps)
    chunks = -(-steps // size)
    padding = chunks * size - steps
    if padding:
        a = torch.cat([a, a.new_ones(padding, *a.shape[1:])])
        b = torch.cat([b, b.new_zeros(padding, *b.shape[1:])])
    a, b = (v.reshape(chunks, size, *v.shape[1:]) for v in (a, b))
    local, product = torch.empty_like(b), torch.empty_like(a)
    local[:, 0], product[:, 0] = b[:, 0], a[:, 0]
    for i in range(1, size):
        local[:, i] = a[:, i] * local[:, i - 1] + b[:, i]
        product[:, i] = a[:, i] * product[:, i - 1]
    starts, h = b.new_empty(chunks, *h0.shape), h0
    for k in range(chunks):
        starts[k] = h
        h = product[k, -1] * h + local[k, -1]
    return (local + product * starts[:, None]).flatten(0, 1)[:steps]
