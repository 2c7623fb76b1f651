"""Training may begin with the weights of a model that is no larger."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from surnn import checkpoint
from surnn.errors import InvalidConfig, UnknownModel
from surnn.nn import Network
from surnn.spec import (
    EncoderSpec,
    Head,
    LayerSpec,
    LogMelFrontEnd,
    ModelKind,
    ModelSpec,
    SwitchMode,
    SwitchSpec,
)
from surnn.train.start import start_from


def spec(width: int = 6, mode: SwitchMode = SwitchMode.CLOCK, hidden: int = 8) -> ModelSpec:
    switch = SwitchSpec(mode=mode, group=4, frequencies=4)
    return ModelSpec(
        name="tiny",
        kind=ModelKind.AUDIO,
        sample_rate=16_000,
        hop=160,
        frontend=LogMelFrontEnd(bands=12),
        encoder=EncoderSpec(frames=3, width=width),
        layers=(LayerSpec(hidden=hidden, switch=switch), LayerSpec(hidden=4, switch=switch)),
        labels=("speech",),
        head=Head.SIGMOID,
    )


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    checkpoint.save(Network(spec()), tmp_path / "old")
    return tmp_path / "old"


@pytest.mark.parametrize("width", [6, 10])
@pytest.mark.parametrize("mode", [SwitchMode.CLOCK, SwitchMode.CLOCK_INPUT])
def test_a_wider_network_answers_as_the_one_it_began_with(
    trained: Path, width: int, mode: SwitchMode
) -> None:
    frames = torch.randn(2, 50, 160, generator=torch.Generator().manual_seed(1)) * 0.1
    old, new = checkpoint.load(trained), Network(spec(width, mode))
    start_from(new, trained)
    expected, seen = old(frames), new(frames)
    torch.testing.assert_close(seen.logits, expected.logits, atol=1e-5, rtol=0)
    for a, b in zip(seen.gates, expected.gates, strict=True):
        assert torch.equal(a > 0, b > 0)


def test_what_is_new_can_learn(trained: Path) -> None:
    new = Network(spec(10, SwitchMode.CLOCK_INPUT))
    start_from(new, trained)
    frames = torch.randn(2, 50, 160, generator=torch.Generator().manual_seed(1)) * 0.1
    new(frames).logits.square().sum().backward()  # type: ignore[no-untyped-call]
    first = dict(new.named_parameters())["layers.0.cell.weight_x"]
    assert first.grad is not None
    assert first.grad[:, 6:].abs().sum() > 0


def test_other_networks_are_refused_by_name(trained: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"weights layers\.0\.\S+ are \[.*expected"):
        start_from(Network(spec(hidden=16)), trained)
    with pytest.raises(InvalidConfig, match=r"encoder\.conv\.\S+ are \[6"):
        start_from(Network(spec(width=4)), trained)
    checkpoint.save(Network(spec(mode=SwitchMode.CLOCK_INPUT)), trained)
    with pytest.raises(InvalidConfig, match=r"has weights layers\.0\.switch\.weight"):
        start_from(Network(spec()), trained)
    with pytest.raises(UnknownModel):
        start_from(Network(spec()), trained / "nothing")
