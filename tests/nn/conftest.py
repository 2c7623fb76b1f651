"""Small specs and networks for the tests of `surnn.nn`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from surnn.nn import Network
from surnn.spec import (
    Head,
    LayerSpec,
    LogMelFrontEnd,
    ModelKind,
    ModelSpec,
    ScaleFrontEnd,
    SwitchMode,
    SwitchSpec,
)


@pytest.fixture
def audio_spec() -> Callable[..., ModelSpec]:
    def make(mode: SwitchMode = SwitchMode.CLOCK, group: int = 1, hidden: int = 24) -> ModelSpec:
        layer = LayerSpec(hidden=hidden, switch=SwitchSpec(mode=mode, group=group))
        return ModelSpec(
            name="test",
            kind=ModelKind.AUDIO,
            sample_rate=16_000,
            hop=160,
            frontend=LogMelFrontEnd(),
            layers=(layer, layer),
            labels=("speech",),
            head=Head.SIGMOID,
        )

    return make


@pytest.fixture
def sensor_spec() -> ModelSpec:
    return ModelSpec(
        name="test-sensor",
        kind=ModelKind.SENSOR,
        sample_rate=100,
        hop=1,
        channels=3,
        frontend=ScaleFrontEnd(mean=(0.0, 1.0, 2.0), scale=(1.0, 0.5, 2.0)),
        layers=(LayerSpec(hidden=7, switch=SwitchSpec(mode=SwitchMode.CLOCK_INPUT)),),
        labels=("a", "b", "c"),
        head=Head.SOFTMAX,
    )


@pytest.fixture
def network(audio_spec: Callable[..., ModelSpec]) -> Network:
    torch.manual_seed(0)
    return Network(audio_spec())
