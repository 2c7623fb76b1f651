"""Names of weights: the shipped models keep theirs, and a block changes it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from safetensors.numpy import load_file

from surnn.fingerprint import fingerprint
from surnn.model import installed
from surnn.runtimes.onnx import OnnxRuntime
from surnn.spec import BlockSpec, LayerSpec, ModelSpec, SwitchSpec


def test_a_name_from_before_blocks_stays(stack_spec: Callable[..., ModelSpec]) -> None:
    """Snapshots, tokens and jobs of users hold it."""
    spec = stack_spec(LayerSpec(hidden=8), LayerSpec(hidden=4, switch=SwitchSpec(group=2)))
    weights = {"head.bias": np.arange(3, dtype=np.float32)}
    assert fingerprint(spec, weights) == "7af243a67dfb43632ae70f2a89cbdf6c"


@pytest.mark.parametrize("name", ["vad", "activity"])
def test_shipped_models_keep_their_names(name: str) -> None:
    file = installed()[name]
    weights = load_file(file.with_name("model.safetensors"))
    runtime = OnnxRuntime(file)
    assert fingerprint(runtime.spec, weights) == runtime.fingerprint


@pytest.mark.parametrize("layer", [0, 1])
def test_a_block_is_part_of_the_name(stack_spec: Callable[..., ModelSpec], layer: int) -> None:
    plain = [LayerSpec(hidden=8), LayerSpec(hidden=8)]
    blocked = list(plain)
    blocked[layer] = LayerSpec(hidden=8, block=BlockSpec())
    names = {fingerprint(stack_spec(*layers), {}) for layers in (plain, blocked)}
    assert len(names) == 2
