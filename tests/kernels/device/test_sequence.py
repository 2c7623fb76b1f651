"""Training's loops as kernels: torch's numbers, forward and backward."""

from __future__ import annotations

import pytest
import torch

from surnn.nn import sequence
from surnn.nn.cells import sugru


def inputs(device: str, steps: int, batch: int, hidden: int) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(steps)
    shapes = ((steps, batch, 3 * hidden), (steps, batch, hidden), (batch, hidden))
    x, gates, h0 = (torch.randn(shape, generator=rng) for shape in shapes)
    u = torch.randn(3 * hidden, hidden, generator=rng) / hidden**0.5
    values = (x, (gates > 0.3).float(), h0, u, torch.randn(hidden, generator=rng))
    return [v.to(device).requires_grad_() for v in values]


@pytest.mark.parametrize(("steps", "batch", "hidden"), [(1, 1, 1), (4, 3, 17), (3, 34, 40)])
def test_values_and_gradients(device, monkeypatch, steps, batch, hidden):
    from surnn.kernels.device import sequence as kernels

    values = inputs(device, steps, batch, hidden)
    weight = torch.randn(steps, batch, hidden, device=device)
    results = []
    for loops in (sequence, kernels):
        monkeypatch.setattr(sugru, "_loops", lambda x, loops=loops: loops)
        states = sugru.sugru_sequence(*values)
        results.append((states, *torch.autograd.grad((states * weight).sum(), values)))
    for name, slow, fast in zip(("h", "x", "gates", "h0", "u", "c"), *results, strict=True):
        torch.testing.assert_close(fast, slow, atol=2e-5, rtol=1e-5, msg=lambda m, n=name: n + m)


def test_closed_neurons_keep_their_bits(device):
    from surnn.kernels.device.sequence import forward_loop

    x, gates, h0, u, c = (v.detach() for v in inputs(device, 6, 3, 20))
    states, *_ = forward_loop(x, gates, h0, u, c)
    assert torch.equal(states[0], h0)
    closed = gates == 0
    assert torch.equal(states[1:][closed], states[:-1][closed])


def test_kernels_are_for_gpus(device):
    x = torch.zeros(1, device=device)
    name = "surnn.kernels.device.sequence" if device == "cuda" else "surnn.nn.sequence"
    assert sugru._loops(x).__name__ == name
    assert sugru._loops(x.double()).__name__ == "surnn.nn.sequence"
