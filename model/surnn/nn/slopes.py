"""The step of a switch, and the slopes that training pretends it has.

    g = H(a)         H(a) = 1 for a > 0, else 0

H has no useful gradient, so backward uses that of a smooth step (straight-through estimator). Each
slope below has area 1 over a, like the slope of a step from 0 to 1, so learning rates carry over
from one to the next. `width` is the scale w in units of a:

    sigmoid     s (1 - s) / w                with s = sigmoid(a / w)
    hard-tanh   1 / (2 w)                    for |a| < w, else 0
    arctan      1 / (w (1 + (pi a / w)^2))   (BMRU, arXiv 2601.09495)
    triangle    max(0, 1 - |a| / w) / w      (EGRU, arXiv 2206.06178)

Hard-tanh and triangle end: a switch whose a lies beyond the width gets no gradient at all until its
input or bias moves it back.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any, cast

import torch
from torch import Tensor

__all__ = ["SURROGATE_WIDTH", "Surrogate", "heaviside", "slope"]

SURROGATE_WIDTH = 0.5
"""Width of the surrogate slope if nothing else is asked for."""


class Surrogate(StrEnum):
    """The slope that stands for the derivative of the step."""

    SIGMOID = "sigmoid"
    HARD_TANH = "hard-tanh"
    ARCTAN = "arctan"
    TRIANGLE = "triangle"


def slope(a: Tensor, surrogate: Surrogate, width: float) -> Tensor:
    """The surrogate of dH/da, of the same shape as a."""
    match surrogate:
        case Surrogate.SIGMOID:
            s = torch.sigmoid(a / width)
            return s * (1 - s) / width
        case Surrogate.HARD_TANH:
            return (a.abs() < width).to(a.dtype) / (2 * width)
        case Surrogate.ARCTAN:
            return 1 / (width * (1 + (math.pi * a / width).square()))
        case Surrogate.TRIANGLE:
            return (1 - a.abs() / width).clamp(min=0) / width


class _Heaviside(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, surrogate: Surrogate, width: float) -> Tensor:
        ctx.save_for_backward(a)
        ctx.surrogate, ctx.width = surrogate, width
        return (a > 0).to(a.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (a,) = ctx.saved_tensors
        return grads[0] * slope(a, ctx.surrogate, ctx.width), None, None


def heaviside(
    a: Tensor, width: float = SURROGATE_WIDTH, surrogate: Surrogate = Surrogate.SIGMOID
) -> Tensor:
    """1 where a > 0, else 0; backward as if its derivative were `slope`."""
    return cast(Tensor, _Heaviside.apply(a, surrogate, width))  # type: ignore[no-untyped-call]
