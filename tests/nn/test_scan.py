"""The parallel scan against the loop, real and complex, in values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from surnn.nn.scan import linear_scan


def loop(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    states = []
    for a_t, b_t in zip(a, b, strict=True):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states)


def inputs(steps: int, kind: torch.dtype, batch_of_a: int = 3) -> list[Tensor]:
    torch.manual_seed(steps)
    shapes = [(steps, batch_of_a, 5), (steps, 3, 5), (3, 5)]
    return [(0.8 * torch.randn(shape, dtype=kind)).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("kind", [torch.float64, torch.complex128])
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 64, 101])
@pytest.mark.parametrize("batch_of_a", [1, 3])
def test_scan_equals_loop(steps: int, kind: torch.dtype, batch_of_a: int) -> None:
    given = inputs(steps, kind, batch_of_a)
    seen, expected = linear_scan(*given), loop(*given)
    torch.testing.assert_close(seen, expected, atol=1e-12, rtol=1e-12)
    weight = torch.randn_like(seen)
    for x, y in zip(
        torch.autograd.grad((seen * weight).abs().sum(), given),
        torch.autograd.grad((expected * weight).abs().sum(), given),
        strict=True,
    ):
        torch.testing.assert_close(x, y, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("kind", [torch.float64, torch.complex128])
def test_gradients_match_finite_differences(kind: torch.dtype) -> None:
    assert torch.autograd.gradcheck(linear_scan, inputs(7, kind))


def test_no_frames_at_all() -> None:
    a, b, h = torch.zeros(0, 2, 3), torch.zeros(0, 2, 3), torch.ones(2, 3)
    assert linear_scan(a, b, h).shape == (0, 2, 3)


def test_factors_near_zero_do_not_underflow() -> None:
    a = torch.full((400, 1, 1), 1e-3)
    b = torch.ones(400, 1, 1)
    torch.testing.assert_close(linear_scan(a, b, torch.ones(1, 1))[-1, 0, 0].item(), 1 / 0.999)
