"""Models that the native runtime has no kernels for: refused, or run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import surnn
from surnn.cells import NATIVE_CELLS, Cell
from surnn.errors import CorruptModel, InvalidConfig
from surnn.export import export
from surnn.nn import Network
from surnn.runtimes.support import check_native, runs_natively
from surnn.spec import BlockSpec, LayerSpec, ModelSpec

OTHERS = [cell for cell in Cell if cell not in NATIVE_CELLS]


@pytest.mark.parametrize("cell", OTHERS)
def test_cells_without_kernels_are_named(stack_spec: Callable[..., ModelSpec], cell: Cell) -> None:
    spec = stack_spec(LayerSpec(hidden=4), LayerSpec(cell=cell, hidden=4))
    assert not runs_natively(spec)
    message = rf"\['sugru', '{cell.value}'\], expected runtime 'onnx' for it"
    with pytest.raises(InvalidConfig, match=message):
        check_native(spec)


def test_blocks_are_named(stack_spec: Callable[..., ModelSpec]) -> None:
    spec = stack_spec(LayerSpec(hidden=4, block=BlockSpec()))
    with pytest.raises(InvalidConfig, match=r"\['sugru in a block'\]"):
        check_native(spec)


def test_auto_takes_the_runtime_that_can(
    stack_spec: Callable[..., ModelSpec], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    export(Network(stack_spec(LayerSpec(cell=OTHERS[0], hidden=4))), tmp_path)
    assert surnn.load(tmp_path).runtime.name == "onnx"
    with pytest.raises(InvalidConfig, match="the native runtime runs layers of"):
        surnn.load(tmp_path, runtime="native")


def test_auto_does_not_hide_a_damaged_spec(
    stack_spec: Callable[..., ModelSpec], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    export(Network(stack_spec(LayerSpec(hidden=4))), tmp_path)
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(CorruptModel, match="cannot be read"):
        surnn.load(tmp_path)
