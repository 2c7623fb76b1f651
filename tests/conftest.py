"""Small models of any layers, for tests of every part."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from surnn.spec import Head, LayerSpec, ModelKind, ModelSpec, ScaleFrontEnd


@pytest.fixture(scope="session")
def stack_spec() -> Callable[..., ModelSpec]:
    """A sensor model of three channels with these layers."""

    def make(*layers: LayerSpec, head: Head = Head.SOFTMAX) -> ModelSpec:
        return ModelSpec(
            name="stack",
            kind=ModelKind.SENSOR,
            sample_rate=100,
            hop=1,
            channels=3,
            frontend=ScaleFrontEnd(mean=(0.0, 1.0, 2.0), scale=(1.0, 0.5, 2.0)),
            layers=layers,
            labels=("a", "b", "c"),
            head=head,
        )

    return make
