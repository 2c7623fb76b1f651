"""The table of cells: complete, and what spec and session layer make of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from surnn.cells import CELLS, Cell, Update
from surnn.spec import LayerSpec, ModelSpec, SwitchMode, SwitchSpec


def test_every_cell_is_in_the_table() -> None:
    assert set(CELLS) == set(Cell)


@pytest.mark.parametrize(
    ("cell", "states"),
    [
        (Cell.SUGRU, {"h0": (5,)}),
        (Cell.SULSTM, {"h0": (5,), "c0": (5,)}),
        (Cell.LRU, {"h0": (2, 5)}),
        (Cell.EGRU, {"c0": (5,), "y0": (5,)}),
        (Cell.CMRU, {"s0": (5,)}),
    ],
)
def test_states_of_a_cell(
    stack_spec: Callable[..., ModelSpec], cell: Cell, states: dict[str, tuple[int, ...]]
) -> None:
    spec = stack_spec(LayerSpec(cell=cell, hidden=5))
    assert {s.name: s.shape for s in spec.states} == {"t": (), **states}


def test_layers_of_a_stack_name_their_states_apart(stack_spec: Callable[..., ModelSpec]) -> None:
    spec = stack_spec(*(LayerSpec(cell=cell, hidden=4) for cell in Cell))
    names = [s.name for s in spec.states]
    assert len(set(names)) == len(names)
    assert [s.name for s in spec.layer_states(2)] == ["h2", "c2"]


def test_cells_without_switches_need_no_switch_table() -> None:
    assert LayerSpec(cell=Cell.LRU, hidden=8).switch.mode is SwitchMode.NONE
    assert LayerSpec(hidden=8).switch.mode is SwitchMode.CLOCK
    with pytest.raises(ValidationError, match="cell 'gru' has no switches, but switch mode is"):
        LayerSpec(cell=Cell.GRU, hidden=8, switch=SwitchSpec())
    with pytest.raises(ValidationError, match="group 4, expected 'none' and 1"):
        LayerSpec(cell=Cell.GRU, hidden=8, switch=SwitchSpec(mode=SwitchMode.NONE, group=4))


def test_an_unknown_cell_is_refused_with_the_choices() -> None:
    with pytest.raises(ValidationError, match="'surnn', 'sugru', 'sulstm', 'gru'"):
        LayerSpec.model_validate({"cell": "ntm", "hidden": 8})


def test_only_events_let_a_state_move_without_an_update() -> None:
    assert [cell for cell, traits in CELLS.items() if not traits.carries] == [Cell.EGRU]
    assert {cell for cell, t in CELLS.items() if t.switched} == {
        Cell.SURNN,
        Cell.SUGRU,
        Cell.SULSTM,
    }
    assert CELLS[Cell.EGRU].update is Update.EVENT
