"""Switches: exact at any frame number, open at the asked rate, trainable through the step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from surnn.clock import (
    AMPLITUDE_LIMIT,
    AMPLITUDE_ONE,
    CLOCK_ONE,
    SINE_TABLE,
    clock_basis,
    increments,
)
from surnn.nn.slopes import heaviside
from surnn.nn.switches import Switch
from surnn.spec import SwitchMode, SwitchSpec


@pytest.mark.parametrize("start", [0, 1, 10**7, 10**10, 2**53 + 1, 2**62 - 64])
def test_clock_gates_equal_python_integers(start: int) -> None:
    torch.manual_seed(1)
    spec = SwitchSpec(frequencies=5)
    switch = Switch(spec, features=4, switches=6)
    gates, _ = switch(torch.tensor([start]), torch.zeros(1, 20, 4))
    assert switch.amplitude is not None
    assert switch.bias is not None
    amplitude = (switch.amplitude.detach() * AMPLITUDE_ONE).round().long().tolist()
    bias = (switch.bias.detach() * CLOCK_ONE).round().long().tolist()
    inc = increments(5, spec.min_period, spec.max_period).tolist()
    for step in range(20):
        index = [((start + step) * i % 2**32) // 2**20 for i in inc]  # Python integers: no limit
        basis = [int(SINE_TABLE[j]) for j in index]
        basis += [int(SINE_TABLE[(j + 1024) % 4096]) for j in index]
        for neuron in range(6):
            a = bias[neuron] + sum(s * row[neuron] for s, row in zip(basis, amplitude, strict=True))
            assert gates[0, step, neuron].item() == float(a > 0)


def test_clock_gates_equal_numpy_bit_for_bit() -> None:
    torch.manual_seed(2)
    spec = SwitchSpec()
    switch = Switch(spec, features=4, switches=64)
    start = 2**40 + 17
    gates, _ = switch(torch.tensor([start]), torch.zeros(1, 2000, 4))
    assert switch.amplitude is not None
    assert switch.bias is not None
    amplitude = np.round(
        np.clip(switch.amplitude.detach().numpy() * 256, -AMPLITUDE_LIMIT, AMPLITUDE_LIMIT)
    )
    inc = increments(spec.frequencies, spec.min_period, spec.max_period)
    basis = clock_basis(start + np.arange(2000), inc)
    whole = basis @ amplitude.astype(np.int64) + np.round(
        switch.bias.detach().numpy() * np.float32(CLOCK_ONE)
    ).astype(np.int64)
    np.testing.assert_array_equal(gates[0].detach().numpy(), (whole > 0).astype(np.float32))


@pytest.mark.parametrize("rate", [0.05, 0.17, 0.5])
def test_every_switch_starts_near_the_asked_rate(rate: float) -> None:
    torch.manual_seed(3)
    switch = Switch(SwitchSpec(open_rate=rate), features=4, switches=64)
    gates, _ = switch(torch.tensor([123]), torch.zeros(1, 20_000, 4))
    per_switch = gates[0].detach().mean(dim=0)
    assert (per_switch - rate).abs().max() < 0.35 * rate


def test_switches_have_schedules_of_their_own() -> None:
    torch.manual_seed(4)
    switch = Switch(SwitchSpec(), features=4, switches=32)
    gates, _ = switch(torch.tensor([0]), torch.zeros(1, 2000, 4))
    assert len({tuple(column) for column in gates[0].T.tolist()}) == 32


def test_mode_none_is_always_open() -> None:
    gates, _ = Switch(SwitchSpec(mode=SwitchMode.NONE), 4, 3)(
        torch.tensor([5]), torch.randn(1, 9, 4)
    )
    assert (gates == 1).all()


def test_input_switch_depends_on_input_and_not_on_time() -> None:
    torch.manual_seed(5)
    switch = Switch(SwitchSpec(mode=SwitchMode.INPUT), features=4, switches=16)
    x = torch.randn(1, 50, 4)
    early, _ = switch(torch.tensor([0]), x)
    late, _ = switch(torch.tensor([999]), x)
    assert torch.equal(early, late)
    other, _ = switch(torch.tensor([0]), torch.randn(1, 50, 4))
    assert not torch.equal(early, other)


def test_heaviside_is_closed_at_zero_and_has_the_gradient_of_a_sigmoid() -> None:
    a = torch.tensor([-1.0, -1e-30, 0.0, 1e-30, 1.0], requires_grad=True)
    gate = heaviside(a, 0.5)
    assert gate.tolist() == [0, 0, 0, 1, 1]
    gate.sum().backward()
    s = torch.sigmoid(a.detach() / 0.5)
    assert a.grad is not None
    torch.testing.assert_close(a.grad, s * (1 - s) / 0.5)


@pytest.mark.parametrize("mode", [SwitchMode.CLOCK, SwitchMode.INPUT, SwitchMode.CLOCK_INPUT])
def test_every_parameter_gets_a_gradient(mode: SwitchMode) -> None:
    torch.manual_seed(6)
    switch = Switch(SwitchSpec(mode=mode), features=4, switches=8)
    gates, _ = switch(torch.tensor([0]), torch.randn(1, 100, 4))
    (gates * torch.randn_like(gates)).sum().backward()
    for name, parameter in switch.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).float().mean() > 0.9, name
