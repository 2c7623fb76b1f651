"""Every cell: fast sequence = equations, chunks = whole, and a gate of 0 keeps every bit.

Comparisons are in float64, where rounding does not move an event; float32 has tests of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from surnn.cells import CELLS, Cell
from surnn.nn.cells import CELL_MODULES, CellOutput, RecurrentCell

cells = st.sampled_from(list(Cell))
seeds = st.integers(0, 2**31)
few = settings(max_examples=40, deadline=None, derandomize=True)


def make(cell: Cell, seed: int, inputs: int = 4, hidden: int = 6) -> RecurrentCell:
    torch.manual_seed(seed)
    module = CELL_MODULES[cell](inputs, hidden).double()
    for p in module.parameters():  # biases away from zero
        torch.nn.init.normal_(
            p, p.detach().mean().item(), p.detach().std(correction=0).item() + 0.1
        )
    return module


def random_state(cell: Cell, batch: int, hidden: int = 6) -> tuple[Tensor, ...]:
    return tuple(
        torch.randn(batch, *([2] if s.parts == 2 else []), hidden, dtype=torch.float64)
        for s in CELLS[cell].states
    )


def random_run(
    cell: Cell, batch: int, steps: int, rate: float = 0.6
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    x = torch.randn(batch, steps, 4, dtype=torch.float64)
    gates = (torch.rand(batch, steps, 6) < rate).double()
    return x, gates, random_state(cell, batch)


def parts(out: CellOutput) -> list[Tensor]:
    return [out.outputs, out.updates, *out.state]


def assert_close(seen: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float) -> None:
    for a, b in zip(seen, expected, strict=True):
        torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


@few
@given(cells, seeds, st.integers(1, 4), st.integers(1, 40), st.booleans())
def test_sequence_equals_equations_in_values_and_gradients(
    cell: Cell, seed: int, batch: int, steps: int, training: bool
) -> None:
    """In training the scan, otherwise frame by frame; surrogates included."""
    module = make(cell, seed).train(training)
    x, gates, state = random_run(cell, batch, steps)
    leaves = [v.requires_grad_() for v in (x, gates, *state)]
    leaves += list(module.parameters())
    seen, expected = module(x, gates, state), module.reference(x, gates, state)
    assert_close(parts(seen), parts(expected), 1e-11)
    weights = [torch.randn_like(v) for v in parts(seen)]
    gradients = [
        torch.autograd.grad(
            sum((w * v).sum() for w, v in zip(weights, parts(out), strict=True)),
            leaves,
            allow_unused=True,
            materialize_grads=True,
        )
        for out in (seen, expected)
    ]
    assert_close(*gradients, 1e-8)


@few
@given(cells, seeds, st.integers(1, 3), st.lists(st.integers(0, 9), min_size=1, max_size=8))
@torch.no_grad()
def test_chunks_and_steps_equal_the_whole(
    cell: Cell, seed: int, batch: int, sizes: list[int]
) -> None:
    module = make(cell, seed)
    x, gates, state = random_run(cell, batch, sum(sizes))
    whole = module(x, gates, state)
    for cuts in (sizes, [1] * sum(sizes)):
        outputs, updates, now = [], [], state
        for part, gate in zip(x.split(cuts, 1), gates.split(cuts, 1), strict=True):
            out = module(part, gate, now)
            outputs.append(out.outputs)
            updates.append(out.updates)
            now = out.state
        if outputs:
            assert_close([torch.cat(outputs, 1), torch.cat(updates, 1)], parts(whole)[:2], 1e-11)
            assert_close(now, whole.state, 1e-11)


@few
@given(cells, seeds, st.floats(0, 1))
@torch.no_grad()
def test_a_neuron_that_may_not_move_keeps_its_bits(cell: Cell, seed: int, rate: float) -> None:
    module = make(cell, seed).float()
    x, gates, state = random_run(cell, 2, 12, rate)
    x, gates, state = x.float(), gates.float(), tuple(s.float() for s in state)
    for i in range(12):
        out = module(x[:, i : i + 1], gates[:, i : i + 1], state)
        still = gates[:, i] == 0
        if CELLS[cell].carries:
            still = out.updates[:, 0] == 0
        for before, after in zip(state, out.state, strict=True):
            mask = still.view(2, *[1] * (before.ndim - 2), 6).expand_as(before)
            assert torch.equal(before[mask], after[mask])
        assert (out.updates[gates[:, i : i + 1] == 0] == 0).all()
        state = out.state


@pytest.mark.parametrize("cell", [cell for cell in Cell if cell is not Cell.EGRU])
def test_smooth_gradients_match_finite_differences(cell: Cell) -> None:
    """Of a memory that is written in steps, only what comes of its old state is smooth; of an EGRU
    nothing is: every path leads through events."""
    module = make(cell, seed=3)
    x, gates, state = random_run(cell, 2, 5)
    smooth = CELLS[cell].update.value in ("switch", "always")
    leaves = (x, *state) if smooth else state

    def run(*leaves: Tensor) -> tuple[Tensor, ...]:
        given = leaves if smooth else (x, *leaves)
        out = module(given[0], gates, given[1:])
        return out.outputs, *out.state

    assert torch.autograd.gradcheck(run, [v.requires_grad_() for v in leaves])


@pytest.mark.parametrize("cell", list(Cell))
@torch.no_grad()
def test_a_thousand_steps_in_float32_stay_near_float64(cell: Cell) -> None:
    """To 1e-6 of the largest number. An EGRU's event may slip by rounding: up to there."""
    torch.manual_seed(1)
    module = CELL_MODULES[cell](8, 32).eval()
    x, batch = torch.randn(2, 1000, 8), 2
    gates = torch.ones(2, 1000, 32)
    if CELLS[cell].switched:
        gates = (torch.rand(2, 1000, 32) < 0.3).float()
    state = tuple(
        torch.zeros(batch, *([2] if s.parts == 2 else []), 32) for s in CELLS[cell].states
    )
    seen = module(x, gates, state)
    wide = module.double()
    expected = wide.reference(x.double(), gates.double(), tuple(s.double() for s in state))
    same = (seen.updates == expected.updates).all(dim=-1).cumprod(dim=1).bool()  # up to a slip
    assert same.float().mean() > 0.5
    difference = (seen.outputs - expected.outputs).abs().amax(dim=-1)
    assert difference[same].max() <= 1e-6 * max(1.0, float(expected.outputs.abs().max()))


@pytest.mark.parametrize("cell", list(Cell))
def test_no_frames_leave_the_state_alone(cell: Cell) -> None:
    module = make(cell, 0)
    state = random_state(cell, 2)
    empty = torch.zeros(2, 0, 4, dtype=torch.float64)
    for training in (True, False):
        out = module.train(training)(empty, empty.new_zeros(2, 0, 6), state)
        assert out.outputs.shape == out.updates.shape == (2, 0, 6)
        assert all(torch.equal(a, b) for a, b in zip(out.state, state, strict=True))


def test_every_cell_has_a_module() -> None:
    assert set(CELL_MODULES) == set(Cell)
