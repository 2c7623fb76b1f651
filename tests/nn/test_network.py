"""The whole network: steps equal sequences, sessions do not see each other, padding is nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from surnn.errors import InvalidShape
from surnn.nn import Network, switch_parameters
from surnn.spec import ModelSpec, SwitchMode


@pytest.mark.parametrize("mode", list(SwitchMode))
@pytest.mark.parametrize("group", [1, 8])
@torch.no_grad()
def test_steps_and_chunks_equal_the_sequence(
    audio_spec: Callable[..., ModelSpec], mode: SwitchMode, group: int
) -> None:
    torch.manual_seed(0)
    network = Network(audio_spec(mode, group))
    frames = torch.randn(2, 60, 160) * 0.1
    whole = network(frames)
    for sizes in ([1] * 60, [7, 1, 40, 12]):
        state, logits = None, []
        for chunk in frames.split(sizes, dim=1):
            out = network(chunk, state=state)
            state = out.state
            logits.append(out.logits)
        torch.testing.assert_close(torch.cat(logits, 1), whole.logits, atol=1e-6, rtol=0)
        assert state is not None
        assert state.keys() == whole.state.keys()
        for name, value in state.items():
            torch.testing.assert_close(value, whole.state[name], atol=1e-6, rtol=0)


@torch.no_grad()
def test_padding_leaves_no_trace(network: Network) -> None:
    frames = torch.randn(3, 20, 160) * 0.1
    lengths = torch.tensor([20, 13, 0])
    out = network(frames, lengths)
    assert all((value[2] == 0).all() for value in out.state.values())
    for i, length in enumerate(lengths.tolist()[:2]):
        alone = network(frames[i : i + 1, :length], state=network.initial_state(1))
        torch.testing.assert_close(out.logits[i, :length], alone.logits[0], atol=1e-6, rtol=0)
        for name, value in alone.state.items():
            torch.testing.assert_close(out.state[name][i], value[0], atol=1e-6, rtol=0)
        assert out.gates[0][i, length:].sum() == 0


@torch.no_grad()
def test_sensor_network_steps(sensor_spec: ModelSpec) -> None:
    torch.manual_seed(0)
    network = Network(sensor_spec)
    frames = torch.randn(1, 30, 3)
    whole = network(frames)
    state, logits = network.initial_state(1), []
    for chunk in frames.split(1, dim=1):
        out = network(chunk, state=state)
        state = out.state
        logits.append(out.logits)
    torch.testing.assert_close(torch.cat(logits, 1), whole.logits, atol=1e-6, rtol=0)


def test_gradients_reach_every_parameter(network: Network) -> None:
    network(torch.randn(2, 50, 160) * 0.1).logits.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_switch_parameters_are_the_switches(network: Network) -> None:
    expected = {id(p) for name, p in network.named_parameters() if ".switch." in name}
    assert {id(p) for p in switch_parameters(network)} == expected
    assert len(expected) == 4


def test_wrong_frame_width_is_refused(network: Network) -> None:
    with pytest.raises(InvalidShape, match=r"frames are \[1, 4, 80\], expected \[B, T, 160\]"):
        network(torch.zeros(1, 4, 80))
