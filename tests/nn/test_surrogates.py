"""Steps: their values at 0, and the gradients that the papers give them."""

from __future__ import annotations

import math

import torch

from surnn.nn.surrogates import arctan_sign, arctan_step, triangle_step


def value_and_slope(step, at: list[float]) -> tuple[list[float], list[float]]:
    v = torch.tensor(at, requires_grad=True)
    out = step(v)
    (slope,) = torch.autograd.grad(out.sum(), v)
    return out.tolist(), slope.tolist()


def test_triangle() -> None:
    values, slopes = value_and_slope(lambda v: triangle_step(v, 0.7, 2.0), [-1, -0.25, 0, 0.25])
    assert values == [0, 0, 0, 1]  # strictly greater
    torch.testing.assert_close(slopes, [0.0, 0.35, 0.7, 0.35])


def test_arctan_step_is_open_at_zero() -> None:
    values, slopes = value_and_slope(arctan_step, [-1, 0, 0.5])
    assert values == [0, 1, 1]
    expected = [1 / (1 + math.pi**2), 1.0, 1 / (1 + math.pi**2 / 4)]
    torch.testing.assert_close(slopes, expected)


def test_arctan_sign_is_positive_at_zero() -> None:
    values, slopes = value_and_slope(arctan_sign, [-1, 0, 0.5])
    assert values == [-1, 1, 1]
    expected = [2 / (1 + math.pi**2), 2.0, 2 / (1 + math.pi**2 / 4)]
    torch.testing.assert_close(slopes, expected)
