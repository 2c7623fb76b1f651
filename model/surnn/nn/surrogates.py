"""Steps without a gradient, each with the one that its paper trains through."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor

__all__ = ["arctan_sign", "arctan_step", "triangle_step"]


class _Triangle(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, height: float, slope: float) -> Tensor:
        ctx.save_for_backward(v)
        ctx.height, ctx.slope = height, slope
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (v,) = ctx.saved_tensors
        return grads[0] * ctx.height * torch.relu(1 - ctx.slope * v.abs()), None, None


class _Arctan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, low: float) -> Tensor:
        ctx.save_for_backward(v)
        ctx.jump = 1.0 - low
        return torch.where(v >= 0, 1.0, low).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (v,) = ctx.saved_tensors
        return grads[0] * ctx.jump / (1 + (math.pi * v).square()), None


def triangle_step(v: Tensor, height: float, slope: float) -> Tensor:
    """1 where v > 0, else 0; backward height * max(0, 1 - slope |v|) (arXiv 2206.06178)."""
    return cast(Tensor, _Triangle.apply(v, height, slope))  # type: ignore[no-untyped-call]


def arctan_step(v: Tensor) -> Tensor:
    """1 where v >= 0, else 0; backward 1 / (1 + (pi v)^2) (arXiv 2601.09495)."""
    return cast(Tensor, _Arctan.apply(v, 0.0))  # type: ignore[no-untyped-call]


def arctan_sign(v: Tensor) -> Tensor:
    """1 where v >= 0, else -1; backward 2 / (1 + (pi v)^2) (arXiv 2601.09495)."""
    return cast(Tensor, _Arctan.apply(v, -1.0))  # type: ignore[no-untyped-call]
