"""suLSTM: the fast sequence against the equations, and torch's own LSTM where all is open."""

from __future__ import annotations

import torch
from torch import Tensor

from surnn.nn.cells.sulstm import SuLSTM, sulstm_sequence, sulstm_step


def slow(x: Tensor, gates: Tensor, h: Tensor, c: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    hs, cs = [], []
    for x_t, gate in zip(x, gates, strict=True):
        h, c = sulstm_step(x_t, gate, h, c, u)
        hs.append(h)
        cs.append(c)
    return torch.stack(hs), torch.stack(cs)


def random_inputs(steps: int, batch: int, hidden: int) -> list[Tensor]:
    torch.manual_seed(steps)
    kind = torch.float64
    inputs = [
        torch.randn(steps, batch, 4 * hidden, dtype=kind),
        (torch.rand(steps, batch, hidden) < 0.4).to(kind),
        torch.randn(batch, hidden, dtype=kind),
        torch.randn(batch, hidden, dtype=kind),
        torch.randn(4 * hidden, hidden, dtype=kind) / hidden**0.5,
    ]
    return [v.requires_grad_() for v in inputs]


def test_sequence_equals_equations_in_values_and_gradients() -> None:
    """Of h alone, of c alone and of both."""
    for steps, batch, hidden in [(1, 1, 1), (7, 3, 5), (63, 2, 17)]:
        inputs = random_inputs(steps, batch, hidden)
        slow_h, slow_c = slow(*inputs)
        fast_h, fast_c = sulstm_sequence(*inputs)
        torch.testing.assert_close(fast_h, slow_h, atol=1e-13, rtol=0)
        torch.testing.assert_close(fast_c, slow_c, atol=1e-13, rtol=0)
        weight = torch.randn(2, steps, batch, hidden, dtype=torch.float64)
        for use_h, use_c in [(1, 0), (0, 1), (1, 1)]:
            given, wanted = (
                torch.autograd.grad(
                    (use_h * weight[0] * h + use_c * weight[1] * c).sum(),
                    inputs,
                    retain_graph=True,
                )
                for h, c in ((fast_h, fast_c), (slow_h, slow_c))
            )
            for a, b in zip(given, wanted, strict=True):
                torch.testing.assert_close(a, b, atol=1e-11, rtol=0)


def test_smooth_gradients_match_finite_differences() -> None:
    x, gates, h0, c0, u = random_inputs(5, 2, 3)
    fixed = gates.detach()
    assert torch.autograd.gradcheck(
        lambda x, h0, c0, u: sulstm_sequence(x, fixed, h0, c0, u), (x, h0, c0, u)
    )


def test_all_open_equals_torch_lstm() -> None:
    torch.manual_seed(0)
    cell, lstm = SuLSTM(6, 9), torch.nn.LSTM(6, 9, batch_first=True)
    torch.nn.init.normal_(cell.bias_x)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(cell.weight_x)
        lstm.weight_hh_l0.copy_(cell.weight_h)
        lstm.bias_ih_l0.copy_(cell.bias_x)
        lstm.bias_hh_l0.zero_()
    x, h0, c0 = torch.randn(2, 30, 6), torch.randn(2, 9), torch.randn(2, 9)
    expected, (_, last_c) = lstm(x, (h0[None], c0[None]))
    seen = cell(x, torch.ones(2, 30, 9), (h0, c0))
    torch.testing.assert_close(seen.outputs, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(seen.state[1], last_c[0], atol=1e-6, rtol=0)
