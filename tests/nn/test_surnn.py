"""suRNN: the fast sequence against the equations, and torch's own RNN where all is open."""

from __future__ import annotations

import torch
from torch import Tensor

from surnn.nn.cells.surnn import SuRNN, surnn_sequence, surnn_step


def slow(x: Tensor, gates: Tensor, h: Tensor, u: Tensor) -> Tensor:
    states = []
    for x_t, gate in zip(x, gates, strict=True):
        h = surnn_step(x_t, gate, h, u)
        states.append(h)
    return torch.stack(states)


def random_inputs(steps: int, batch: int, hidden: int) -> list[Tensor]:
    torch.manual_seed(steps)
    kind = torch.float64
    inputs = [
        torch.randn(steps, batch, hidden, dtype=kind),
        (torch.rand(steps, batch, hidden) < 0.4).to(kind),
        torch.randn(batch, hidden, dtype=kind),
        torch.randn(hidden, hidden, dtype=kind) / hidden**0.5,
    ]
    return [v.requires_grad_() for v in inputs]


def test_sequence_equals_equations_in_values_and_gradients() -> None:
    for steps, batch, hidden in [(1, 1, 1), (7, 3, 5), (63, 2, 17)]:
        inputs = random_inputs(steps, batch, hidden)
        weight = torch.randn(steps, batch, hidden, dtype=torch.float64)
        expected, seen = slow(*inputs), surnn_sequence(*inputs)
        torch.testing.assert_close(seen, expected, atol=1e-14, rtol=0)
        wanted = torch.autograd.grad((expected * weight).sum(), inputs)
        given = torch.autograd.grad((seen * weight).sum(), inputs)
        for a, b in zip(given, wanted, strict=True):
            torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


def test_smooth_gradients_match_finite_differences() -> None:
    x, gates, h0, u = random_inputs(5, 2, 3)
    fixed = gates.detach()
    assert torch.autograd.gradcheck(lambda x, h0, u: surnn_sequence(x, fixed, h0, u), (x, h0, u))


def test_all_open_equals_torch_rnn() -> None:
    torch.manual_seed(0)
    cell, rnn = SuRNN(6, 9), torch.nn.RNN(6, 9, batch_first=True)
    torch.nn.init.normal_(cell.bias_x)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(cell.weight_x)
        rnn.weight_hh_l0.copy_(cell.weight_h)
        rnn.bias_ih_l0.copy_(cell.bias_x)
        rnn.bias_hh_l0.zero_()
    x, h0 = torch.randn(2, 30, 6), torch.randn(2, 9)
    expected, _ = rnn(x, h0[None])
    seen = cell(x, torch.ones(2, 30, 9), (h0,))
    torch.testing.assert_close(seen.outputs, expected, atol=1e-6, rtol=0)
