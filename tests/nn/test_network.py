"""The whole network: steps equal sequences, sessions do not see each other, padding is nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch

from surnn.cells import Cell, Update
from surnn.errors import InvalidInput, InvalidShape
from surnn.nn import Network, switch_parameters
from surnn.spec import BlockGate, BlockSpec, Head, LayerSpec, ModelSpec, Norm, SwitchMode


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


def hybrid(stack_spec: Callable[..., ModelSpec]) -> ModelSpec:
    """Every cell once, plain and in blocks."""
    blocks = itertools.cycle([None, BlockSpec(), BlockSpec(norm=Norm.RMS, gate=BlockGate.NONE)])
    return stack_spec(
        *(
            LayerSpec(cell=cell, hidden=6 + i % 3, block=next(blocks))
            for i, cell in enumerate(Cell)
        ),
        head=Head.LINEAR,
    )


@torch.no_grad()
def test_a_stack_of_every_cell_streams(stack_spec: Callable[..., ModelSpec]) -> None:
    torch.manual_seed(0)
    network = Network(hybrid(stack_spec)).double()
    frames = torch.randn(2, 50, 3, dtype=torch.float64)
    whole = network(frames)
    for sizes in ([1] * 50, [7, 1, 30, 12]):
        state, logits = None, []
        for chunk in frames.split(sizes, dim=1):
            out = network(chunk, state=state)
            state = out.state
            logits.append(out.logits)
        torch.testing.assert_close(torch.cat(logits, 1), whole.logits, atol=1e-9, rtol=0)


@torch.no_grad()
def test_padding_leaves_no_trace_in_any_cell(stack_spec: Callable[..., ModelSpec]) -> None:
    torch.manual_seed(0)
    network = Network(hybrid(stack_spec)).double()
    frames, lengths = torch.randn(3, 20, 3, dtype=torch.float64), torch.tensor([20, 13, 0])
    out = network(frames, lengths)
    assert all((value[2] == 0).all() for value in out.state.values())
    alone = network(frames[1:2, :13])
    for name, value in alone.state.items():
        torch.testing.assert_close(out.state[name][1], value[0], atol=1e-9, rtol=0)
    for gates in out.gates:
        assert gates[1, 13:].sum() == 0


def test_gradients_reach_every_parameter_of_every_cell(
    stack_spec: Callable[..., ModelSpec],
) -> None:
    torch.manual_seed(0)
    network = Network(hybrid(stack_spec))
    network(torch.randn(4, 60, 3)).logits.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_what_was_updated_is_zero_or_one(stack_spec: Callable[..., ModelSpec]) -> None:
    torch.manual_seed(0)
    spec = hybrid(stack_spec)
    out = Network(spec)(torch.randn(2, 30, 3))
    for layer, gates, pre in zip(spec.layers, out.gates, out.pre, strict=True):
        assert gates.shape == (2, 30, layer.hidden)
        assert ((gates == 0) | (gates == 1)).all()
        assert (gates == 1).all() or layer.traits.update is not Update.ALWAYS
        assert (pre is None) == (layer.switch.mode is SwitchMode.NONE)


def test_a_state_of_another_model_is_refused(
    network: Network, stack_spec: Callable[..., ModelSpec]
) -> None:
    frames = torch.zeros(2, 4, 160)
    state = network.initial_state(2)
    with pytest.raises(InvalidShape, match=r"states \['h1'\] are \[None\], expected \[\[2, 24\]\]"):
        network(frames, state={k: v for k, v in state.items() if k != "h1"})
    with pytest.raises(InvalidShape, match=r"states \['h0'\] are \[\[2, 23\]\], expected"):
        network(frames, state=state | {"h0": torch.zeros(2, 23)})
    lru = Network(stack_spec(LayerSpec(cell=Cell.LRU, hidden=4)))
    with pytest.raises(InvalidShape, match=r"\['h0'\] are \[\[1, 4\]\], expected \[\[1, 2, 4\]\]"):
        lru(torch.zeros(1, 1, 3), state=lru.initial_state(1) | {"h0": torch.zeros(1, 4)})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_frames_that_are_no_numbers_are_refused(network: Network, bad: float) -> None:
    frames = torch.zeros(1, 4, 160)
    frames[0, 2, 3] = bad
    with pytest.raises(InvalidInput, match="frames hold NaN or infinity"):
        network(frames)
