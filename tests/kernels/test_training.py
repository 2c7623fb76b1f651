"""The training kernels: what they count, what they leave alone. Values and gradients are compared
with the slow equations in tests/nn/test_sugru_compiled.py, through autograd."""

from __future__ import annotations

import numpy as np
import pytest

from surnn.kernels.cells import SuGRU
from surnn.kernels.training import train_backward, train_forward

B, T, INPUTS, H, X = 2, 11, 3, 5, 16
CANARY = np.float32(77.0)


@pytest.fixture
def world() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    weights = np.zeros((H, 3, X + 16), np.float32)
    weights[..., :INPUTS] = rng.standard_normal((H, 3, INPUTS))
    weights[..., X : X + H] = rng.standard_normal((H, 3, H))
    return {
        "x": rng.standard_normal((B, T, INPUTS)).astype(np.float32),
        "gates": (rng.random((B, T, H)) < 0.4).astype(np.float32),
        "h0": rng.standard_normal((B, H)).astype(np.float32),
        "weights": weights,
        "bias": rng.standard_normal((H, 4)).astype(np.float32),
    }


def forward(w: dict[str, np.ndarray], everywhere: bool, spare: int = 0) -> tuple[np.ndarray, ...]:
    entries = w["gates"].size if everywhere else int(w["gates"].sum())
    states = np.full((B, T, H), CANARY, np.float32)
    saved = np.full((4, entries + spare), CANARY, np.float32)
    train_forward(
        SuGRU(w["h0"]), w["x"], w["gates"], everywhere, w["h0"], w["weights"], w["bias"], X,
        states, saved,
    )  # fmt: skip
    return states, saved


@pytest.mark.parametrize("everywhere", [False, True])
def test_entries_are_counted_and_nothing_is_written_behind_them(
    world: dict[str, np.ndarray], everywhere: bool
) -> None:
    states, saved = forward(world, everywhere, spare=3)
    assert (saved[:, -3:] == CANARY).all()
    assert (saved[:, :-3] != CANARY).all()
    assert (states != CANARY).all()
    gates = saved[:2, :-3]
    assert ((gates > 0) & (gates < 1)).all(), "z and r are sigmoids"


def test_states_do_not_depend_on_whether_closed_neurons_are_computed(
    world: dict[str, np.ndarray],
) -> None:
    np.testing.assert_array_equal(forward(world, False)[0], forward(world, True)[0])


def test_gradients_nobody_asks_for_are_not_written(world: dict[str, np.ndarray]) -> None:
    """And those of the weights are added to what is there."""
    states, saved = forward(world, False)
    nothing = np.empty((0, 0, 0), np.float32)
    grad = np.random.default_rng(2).standard_normal((B, T, H)).astype(np.float32)

    def backward(d_x: np.ndarray, start: float) -> tuple[np.ndarray, ...]:
        d_h0 = np.full((B, H), CANARY, np.float32)
        d_weights = np.full_like(world["weights"], start)
        d_bias = np.full((H, 4), start, np.float32)
        train_backward(
            grad, world["x"], world["gates"], False, world["h0"], world["weights"], X, states,
            saved, d_x, nothing, d_h0, d_weights, d_bias,
        )  # fmt: skip
        return d_h0, d_weights, d_bias

    d_x = np.zeros((B, T, INPUTS), np.float32)
    for a, b in zip(backward(d_x, 0.0), backward(nothing, 0.0), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(d_x).max() > 0
    for a, b in zip(backward(nothing, 1.0)[1:], backward(nothing, 0.0)[1:], strict=True):
        np.testing.assert_allclose(a, b + 1, atol=1e-4)
