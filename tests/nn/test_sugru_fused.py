"""The suGRU sequence through torch's own GRU: states and gradients of the slow equations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from surnn.nn.cells.sugru import SuGRU
from surnn.nn.cells.sugru_fused import sugru_fused


def compare(device: str, dtype: torch.dtype, tolerance: float, rate: float) -> None:
    """A whole layer from a random state, with the gradients of all that learns."""
    torch.manual_seed(7)
    cell = SuGRU(5, 9).to(device, dtype)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    x = torch.randn(3, 40, 5, device=device, dtype=dtype, requires_grad=True)
    h = torch.randn(3, 9, device=device, dtype=dtype, requires_grad=True)
    gates = (torch.rand(3, 40, 9, device=device) < rate).to(dtype)
    weight = torch.randn(3, 40, 9, device=device, dtype=dtype)
    leaves: list[Tensor] = [x, h, cell.weight_x, cell.bias_x, cell.weight_h, cell.bias_h]
    slow = cell.reference(x, gates, (h,)).outputs
    fast = sugru_fused(x, gates, h, *leaves[2:])
    torch.testing.assert_close(fast, slow, atol=tolerance, rtol=tolerance)
    expected = torch.autograd.grad((slow * weight).sum(), leaves)
    for a, b in zip(torch.autograd.grad((fast * weight).sum(), leaves), expected, strict=True):
        torch.testing.assert_close(a, b, atol=50 * tolerance, rtol=50 * tolerance)


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_equations(rate: float) -> None:
    compare("cpu", torch.float64, 1e-12, rate)
    compare("cpu", torch.float32, 2e-6, rate)


def test_closed_neurons_stay_to_the_last_bit_or_two() -> None:
    torch.manual_seed(1)
    cell, h = SuGRU(4, 8), torch.randn(2, 8)
    x, closed = 5 * torch.randn(2, 100, 4), torch.zeros(2, 100, 8)
    with torch.no_grad():
        states = sugru_fused(x, closed, h, cell.weight_x, cell.bias_x, cell.weight_h, cell.bias_h)
    assert (states - h[:, None]).abs().max() < 1e-5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_equations_on_a_gpu() -> None:
    compare("cuda", torch.float64, 1e-12, 0.3)
