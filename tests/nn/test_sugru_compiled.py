"""The compiled suGRU sequence: outputs and gradients of the slow equations, whatever the switches.

The reference runs in float64, so that what is compared against has no rounding of its own.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from surnn.nn import Network
from surnn.nn.cells import sugru_compiled as module
from surnn.nn.cells.gru import GRU
from surnn.nn.cells.sugru import SuGRU, sugru_step
from surnn.nn.cells.sugru_compiled import sugru_compiled
from surnn.spec import Head, LayerSpec, ModelKind, ModelSpec, ScaleFrontEnd, SwitchMode, SwitchSpec

NAMES = ("x", "gates", "h0", "w", "b", "u", "c")
SIZES = [(1, 1, 1, 1), (3, 7, 5, 6), (2, 40, 16, 16), (2, 25, 17, 33), (4, 9, 3, 50)]


def reference(
    x: Tensor, gates: Tensor, h: Tensor, w: Tensor, b: Tensor, u: Tensor, c: Tensor
) -> Tensor:
    """`sugru_step`, frame after frame, in float64."""
    states = []
    for x_t, gate in zip(x.unbind(1), gates.unbind(1), strict=True):
        h = sugru_step(x_t @ w.T + b, gate, h, u, c)
        states.append(h)
    return torch.stack(states, 1)


def random_inputs(batch: int, steps: int, inputs: int, hidden: int, rate: float) -> list[Tensor]:
    """float32, from a random state; gates are 0 or 1."""
    torch.manual_seed(batch + steps + hidden)
    return [
        torch.randn(batch, steps, inputs),
        (torch.rand(batch, steps, hidden) < rate).float(),
        torch.randn(batch, hidden),
        torch.randn(3 * hidden, inputs) / inputs**0.5,
        torch.randn(3 * hidden),
        torch.randn(3 * hidden, hidden) / hidden**0.5,
        torch.randn(hidden),
    ]


def compare(given: list[Tensor], learned: set[str]) -> None:
    """Outputs and the gradients of everything in `learned`."""
    results = []
    for dtype, run in ((torch.float64, reference), (torch.float32, sugru_compiled)):
        leaves = [v.to(dtype, copy=True) for v in given]
        for name, leaf in zip(NAMES, leaves, strict=True):
            leaf.requires_grad_(name in learned)
        states = run(*leaves)
        torch.manual_seed(0)
        weight = torch.randn(states.shape).to(dtype)
        wanted = [v for v in leaves if v.requires_grad]
        results.append((states, torch.autograd.grad((states * weight).sum(), wanted)))
    (slow, expected), (fast, seen) = results
    torch.testing.assert_close(fast.double(), slow, atol=2e-5, rtol=1e-4)
    for name, a, b in zip([n for n in NAMES if n in learned], seen, expected, strict=True):
        scale = b.abs().max().clamp(min=1.0)
        torch.testing.assert_close(a.double() / scale, b / scale, atol=2e-5, rtol=0, msg=name)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
def test_learning_switches(size: tuple[int, int, int, int], rate: float) -> None:
    """Closed neurons are computed too: their switches learn from what opening would change."""
    compare(random_inputs(*size, rate), set(NAMES))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
def test_frozen_switches(size: tuple[int, int, int, int], rate: float) -> None:
    compare(random_inputs(*size, rate), set(NAMES) - {"gates"})


def test_inputs_that_need_no_gradient_get_none() -> None:
    """As in a first layer, with and without switches that learn."""
    for learned in ({"w", "b", "u", "c"}, {"gates", "w", "b", "u", "c"}):
        compare(random_inputs(2, 12, 5, 9, 0.3), learned)


def test_closed_neurons_keep_their_bits() -> None:
    given = random_inputs(3, 60, 4, 21, 0.3)
    states = sugru_compiled(*given)
    before = torch.cat([given[2][:, None], states], 1)[:, :-1]
    closed = given[1] == 0
    assert torch.equal(states[closed], before[closed])
    assert (states[~closed] != before[~closed]).float().mean() > 0.99


def test_no_frames_at_all() -> None:
    given = random_inputs(2, 5, 3, 4, 0.5)
    given[0], given[1] = given[0][:, :0], given[1][:, :0]
    assert sugru_compiled(*given).shape == (2, 0, 4)


@pytest.mark.parametrize("mode", list(SwitchMode))
@pytest.mark.parametrize("group", [1, 4])
def test_networks_learn_alike_with_and_without_it(mode: SwitchMode, group: int) -> None:
    """Every switch mode through a whole network of two layers, from carried states."""
    if mode is SwitchMode.NONE and group > 1:
        pytest.skip("nothing to group")
    layer = LayerSpec(hidden=8, switch=SwitchSpec(mode=mode, group=group, open_rate=0.3))
    spec = ModelSpec(
        name="two",
        kind=ModelKind.SENSOR,
        sample_rate=100,
        hop=1,
        channels=3,
        frontend=ScaleFrontEnd(mean=(0.0, 0.0, 0.0), scale=(1.0, 1.0, 1.0)),
        layers=(layer, layer),
        labels=("a", "b"),
        head=Head.SIGMOID,
    )
    torch.manual_seed(4)
    network = Network(spec)
    frames = torch.randn(2, 30, 3)
    state = {
        name: torch.randint(0, 2**31, v.shape) if name == "t" else torch.randn(v.shape)
        for name, v in network.initial_state(2).items()
    }
    found = []
    for compiled in (False, True):
        for part in network.stack:
            assert isinstance(part.cell, SuGRU)
            part.cell.compiled = compiled
        network.zero_grad()
        output = network(frames, state=dict(state))
        (output.logits.square().sum() + output.gates[1].sum()).backward()
        found.append([output.logits, *(p.grad for p in network.parameters())])
    for slow, fast in zip(*found, strict=True):
        torch.testing.assert_close(fast, slow, atol=2e-5, rtol=2e-4)


@pytest.mark.parametrize("cell", [SuGRU, GRU])
def test_only_training_in_float32_runs_it(
    cell: type[SuGRU], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def counted(*given: Tensor) -> Tensor:
        calls.append(1)
        return sugru_compiled(*given)

    monkeypatch.setattr(module, "sugru_compiled", counted)
    layer = cell(3, 4)
    x, gates, h = torch.randn(2, 6, 3), torch.ones(2, 6, 4), torch.randn(2, 4)
    expected = layer(x, gates, (h,)).outputs
    assert not calls, "it was not asked for"
    layer.compiled = True
    torch.testing.assert_close(layer(x, gates, (h,)).outputs, expected, atol=1e-6, rtol=0)
    assert len(calls) == 1
    layer.eval()(x, gates, (h,))
    with torch.no_grad():
        layer.train()(x, gates, (h,))
    layer.double()(x.double(), gates.double(), (h.double(),))
    assert len(calls) == 1
