"""suGRU: the fast sequence against the equations, and exact carry."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from surnn.nn.cells.sugru import SuGRU, sugru_sequence, sugru_step


def sugru_reference(x: Tensor, gates: Tensor, h: Tensor, u: Tensor, c: Tensor) -> Tensor:
    states = []
    for x_t, gate in zip(x, gates, strict=True):
        h = sugru_step(x_t, gate, h, u, c)
        states.append(h)
    return torch.stack(states)


def random_inputs(
    steps: int, batch: int, hidden: int, dtype: torch.dtype, rate: float = 0.4
) -> tuple[Tensor, ...]:
    torch.manual_seed(steps * 100 + batch)
    x = torch.randn(steps, batch, 3 * hidden, dtype=dtype)
    gates = (torch.rand(steps, batch, hidden) < rate).to(dtype)
    h0 = torch.randn(batch, hidden, dtype=dtype)
    u = torch.randn(3 * hidden, hidden, dtype=dtype) / hidden**0.5
    c = torch.randn(hidden, dtype=dtype)
    return tuple(v.requires_grad_() for v in (x, gates, h0, u, c))


@pytest.mark.parametrize(("steps", "batch", "hidden"), [(1, 1, 1), (7, 3, 5), (63, 2, 17)])
def test_sequence_equals_reference_in_values_and_gradients(
    steps: int, batch: int, hidden: int
) -> None:
    inputs = random_inputs(steps, batch, hidden, torch.float64)
    weight = torch.randn(steps, batch, hidden, dtype=torch.float64)
    slow, fast = sugru_reference(*inputs), sugru_sequence(*inputs)
    torch.testing.assert_close(fast, slow, atol=1e-14, rtol=0)
    expected = torch.autograd.grad((slow * weight).sum(), inputs)
    seen = torch.autograd.grad((fast * weight).sum(), inputs)
    for name, a, b in zip(("x", "gates", "h0", "u", "c"), seen, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0, msg=name)


def test_smooth_gradients_match_finite_differences() -> None:
    x, gates, h0, u, c = random_inputs(5, 2, 3, torch.float64)
    gates = gates.detach()
    assert torch.autograd.gradcheck(
        lambda x, h0, u, c: sugru_sequence(x, gates, h0, u, c), (x, h0, u, c)
    )


def test_gate_gradient_is_what_opening_would_change_for_closed_switches_too() -> None:
    x, _, h0, u, c = (v.detach() for v in random_inputs(1, 2, 4, torch.float64))
    closed = torch.zeros(1, 2, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(sugru_sequence(x, closed, h0, u, c).sum(), closed)
    opened = sugru_sequence(x, torch.ones_like(closed), h0, u, c)
    torch.testing.assert_close(gradient, opened - h0)


def test_closed_neurons_keep_their_bits() -> None:
    x, gates, h0, u, c = (v.detach() for v in random_inputs(200, 3, 32, torch.float32))
    before = torch.cat([h0[None], sugru_sequence(x, gates, h0, u, c)])
    after, before = before[1:], before[:-1]
    assert torch.equal(after[gates == 0], before[gates == 0])
    assert (after[gates == 1] != before[gates == 1]).float().mean() > 0.99


def test_all_open_equals_torch_gru() -> None:
    torch.manual_seed(0)
    cell = SuGRU(6, 9)
    torch.nn.init.normal_(cell.bias_x)
    torch.nn.init.normal_(cell.bias_h)
    gru = torch.nn.GRU(6, 9, batch_first=True)
    z, r, n = (slice(i * 9, (i + 1) * 9) for i in range(3))
    with torch.no_grad():
        for mine, theirs in ((z, r), (r, z), (n, n)):  # torch orders its rows r, z, n
            gru.weight_ih_l0[theirs] = cell.weight_x[mine]
            gru.weight_hh_l0[theirs] = cell.weight_h[mine]
            gru.bias_ih_l0[theirs] = cell.bias_x[mine]
        gru.bias_hh_l0.zero_()
        gru.bias_hh_l0[n] = cell.bias_h
    x, h0 = torch.randn(2, 30, 6), torch.randn(2, 9)
    expected, _ = gru(x, h0[None])
    seen = cell(x, torch.ones(2, 30, 9), (h0,)).outputs
    torch.testing.assert_close(seen, expected, atol=1e-6, rtol=0)
