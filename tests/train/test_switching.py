"""Switches before training (surrogate, frozen, every n-th frame) and after (dead, always open)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from surnn.errors import InvalidConfig
from surnn.nn import Network, switch_parameters
from surnn.nn.slopes import Surrogate
from surnn.spec import LayerSpec, ModelSpec, SwitchMode, SwitchSpec
from surnn.train.config import SwitchTraining
from surnn.train.switching import prepare_switches, switch_health

Make = Callable[..., ModelSpec]


def test_switches_that_never_change_are_counted() -> None:
    layers = [LayerSpec(hidden=4), LayerSpec(cell="gru", hidden=2)]
    rates = [np.float32([0, 0.5, 1, 0]), np.float32([1, 1])]
    health, warning = switch_health(layers, rates)
    assert health[0] is not None
    assert health[0].figures() == {"switches": 4, "dead": 2, "always_open": 1}
    assert health[1] is None, "a GRU has none"
    assert warning == "layer 1: 2 of 4 switches never open; layer 1: 1 of 4 switches never close"


def test_good_health_is_no_news() -> None:
    assert switch_health([LayerSpec(hidden=2)], [np.float32([0.01, 0.99])])[1] == ""


def test_surrogate_and_width_reach_every_layer(stack_spec: Make) -> None:
    network = Network(stack_spec(LayerSpec(hidden=3), LayerSpec(cell="sulstm", hidden=3)))
    prepare_switches(network, SwitchTraining(surrogate=Surrogate.TRIANGLE, width=0.25))
    for layer in network.stack:
        assert (layer.switch.surrogate, layer.switch.width) == (Surrogate.TRIANGLE, 0.25)
    assert all(p.requires_grad for p in switch_parameters(network))


def test_frozen_switches_have_nothing_to_learn(stack_spec: Make) -> None:
    network = Network(stack_spec(LayerSpec(hidden=3)))
    prepare_switches(network, SwitchTraining(frozen=True))
    network(torch.randn(1, 9, 3)).logits.sum().backward()
    assert all(p.grad is None for p in switch_parameters(network))
    assert network.head.weight.grad is not None


@pytest.mark.parametrize("every", [3, 6, 25])
def test_every_nth_frame_and_no_other(stack_spec: Make, every: int) -> None:
    clock = SwitchSpec(mode=SwitchMode.CLOCK, frequencies=1, min_period=every, max_period=every)
    network = Network(stack_spec(LayerSpec(hidden=2, switch=clock)))
    prepare_switches(network, SwitchTraining(every=every))
    with torch.no_grad():
        gates = network(torch.randn(1, 100, 3)).gates[0][0]
    assert gates[:, 0].nonzero()[:, 0].tolist() == list(range(0, 100, every))
    assert torch.equal(gates[:, 0], gates[:, 1])


@pytest.mark.parametrize("every", [3, 6, 25])
def test_every_nth_frame_after_a_billion_frames(stack_spec: Make, every: int) -> None:
    clock = SwitchSpec(mode=SwitchMode.CLOCK, frequencies=1, min_period=every, max_period=every)
    network = Network(stack_spec(LayerSpec(hidden=1, switch=clock)))
    prepare_switches(network, SwitchTraining(every=every))
    t = torch.randint(10**9, 2 * 10**9, (500,), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        gates, _ = network.stack[0].switch(t, torch.randn(500, 20 * every, 3))
    counts = gates.sum(dim=1)
    assert (counts == 20).float().mean() > 0.9
    assert counts.mean() == pytest.approx(20, rel=0.08)


def test_every_nth_frame_needs_such_a_clock(stack_spec: Make) -> None:
    network = Network(stack_spec(LayerSpec(hidden=2)))
    with pytest.raises(InvalidConfig, match="expected a clock of one period of 6 frames"):
        prepare_switches(network, SwitchTraining(every=6))
