"""Row, block and batch kernels: the reference's numbers, and the same bits however they are cut."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from surnn.kernels import reference

KERNELS = ["row", "rows", "block8", "block16", "batch8", "batch16"]
CELLS = ["surnn", "sugru", "sulstm"]
SHAPES = [(40, 64, 8), (7, 40, 8), (13, 50, 1), (3, 7, 1), (24, 24, 8), (64, 48, 16), (16, 40, 5)]


def noise(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def exact(layer: Any, x: np.ndarray, opened: np.ndarray, h: np.ndarray) -> tuple[Any, ...]:
    """The reference's states of one session [T, H]."""
    parts = tuple(np.split(h[0], layer.kinds))
    return reference.layer(x, opened, parts, layer.weights)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_equals_the_reference(kernel: str, cell: str, random_layer: Any, pattern: Any) -> None:
    for inputs, hidden, group in SHAPES:
        layer = random_layer(inputs, hidden, cell=cell)
        x, h, opened = noise(60, inputs), layer.start(1), pattern(60, hidden, group, 0.2)
        result = layer.run(kernel, x, opened, h, [0, 60])
        expected = exact(layer, x, opened, h)
        np.testing.assert_allclose(result.out, expected[0], rtol=0, atol=5e-7)
        np.testing.assert_array_equal(result.states[0, :hidden], result.out[-1])
        last = np.concatenate([part[-1] for part in expected])
        np.testing.assert_allclose(result.states[0], last, rtol=0, atol=1e-6)
        logits = expected[0] @ layer.head.T.astype(np.float64) + [1, 2, 3]
        np.testing.assert_allclose(result.logits, logits, rtol=0, atol=5e-6)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_closed_neurons_keep_their_bits(
    kernel: str, cell: str, random_layer: Any, pattern: Any
) -> None:
    """All states of them, in every frame: each frame is a call of its own."""
    for inputs, hidden, group in SHAPES:
        layer = random_layer(inputs, hidden, cell=cell)
        before, opened = layer.start(1), pattern(12, hidden, group, 0.3)
        x = noise(12, inputs)
        for t in range(12):
            after = layer.run(kernel, x[t : t + 1], opened[t : t + 1], before, [0, 1]).states
            is_open = np.tile(opened[t], layer.kinds)
            assert (after[0, ~is_open] == before[0, ~is_open]).all()
            assert (after[0, is_open] != before[0, is_open]).all()
            before = after


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_chunking_and_company_leave_no_trace(
    kernel: str, cell: str, random_layer: Any, pattern: Any
) -> None:
    """Seven ragged sessions at once, each alone, and each cut in pieces: the same bits."""
    lengths, hidden = [11, 1, 30, 0, 5, 30, 8], 48
    offsets = np.cumsum([0, *lengths]).tolist()
    layer = random_layer(40, hidden, cell=cell)
    x, h = noise(offsets[-1], 40), layer.start(len(lengths))
    opened = pattern(offsets[-1], hidden, 8, 0.25)
    together = layer.run(kernel, x, opened, h, offsets)
    for b, (begin, end) in enumerate(pairwise(offsets)):
        alone = layer.run(kernel, x[begin:end], opened[begin:end], h[b : b + 1], [0, end - begin])
        assert (alone.out == together.out[begin:end]).all()
        assert (alone.states == together.states[b]).all()
        state = h[b : b + 1]
        for cut in range(begin, end, 3):
            stop = min(cut + 3, end)
            piece = layer.run(kernel, x[cut:stop], opened[cut:stop], state, [0, stop - cut])
            state = piece.states
            assert (piece.logits == together.logits[cut:stop]).all()
        assert (state == together.states[b]).all()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("single", "batch"), [("row", "rows"), ("block8", "batch8"), ("block16", "batch16")]
)
def test_kernels_of_batches_give_the_same_bits(
    single: str, batch: str, cell: str, random_layer: Any, pattern: Any
) -> None:
    """20 sessions: one to six and more of them have a neuron open at once."""
    lengths = [9, 20, 1, 20, 7] * 4
    offsets = np.cumsum([0, *lengths]).tolist()
    layer = random_layer(40, 64, cell=cell)
    for group, rate in ((8, 0.05), (16, 0.3), (1, 0.2), (8, 0.9)):
        x, h = noise(offsets[-1], 40), layer.start(20)
        opened = pattern(offsets[-1], 64, group, rate)
        one = layer.run(single, x, opened, h, offsets)
        other = layer.run(batch, x, opened, h, offsets)
        assert (one.out == other.out).all()
        assert (one.states == other.states).all()
        assert (one.logits == other.logits).all()


@pytest.mark.parametrize("lanes", [8, 16])
def test_tiles_that_did_not_change_need_not_be_read_again(
    lanes: int, random_layer: Any, pattern: Any, words: Any
) -> None:
    """Knowing which inputs changed gives the same bits as assuming that all did."""
    below = pattern(50, 32, 16, 0.2, seed=5)
    x = noise(50, 32)
    for t in range(1, 50):
        x[t, ~below[t]] = x[t - 1, ~below[t]]
    layer = random_layer(32, 64)
    h, opened = layer.start(1), pattern(50, 64, lanes, 0.2)
    assumed = layer.run(f"block{lanes}", x, opened, h, [0, 50])
    known = layer.run(f"block{lanes}", x, opened, h, [0, 50], words(below))
    assert (assumed.out == known.out).all()


@pytest.mark.parametrize(("gain", "bound"), [(1.0, 5e-7), (3.0, 5e-6)])
def test_error_does_not_grow_with_the_steps(
    gain: float, bound: float, random_layer: Any, pattern: Any
) -> None:
    """100,000 of them, in chunks: kept sums are made anew with each chunk, states are not."""
    steps, chunk = 100_000, 1000
    layer = random_layer(16, 32, gain)
    x, h, opened = noise(steps, 16), layer.start(1), pattern(steps, 32, 16, 0.2)
    (expected,) = exact(layer, x, opened, h)
    for kernel in KERNELS:
        # One chunk of 10,000 keeps its sums the longest.
        cuts = [0, 10_000, *range(10_000 + chunk, steps + 1, chunk)]
        state, worst = h, []
        for begin, end in pairwise(cuts):
            part = layer.run(kernel, x[begin:end], opened[begin:end], state, [0, end - begin])
            state = part.states
            worst.append(np.abs(part.out - expected[begin:end]).max())
        assert max(worst) < bound


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_nan_input_cannot_poison_a_state(kernel: str, cell: str, random_layer: Any) -> None:
    layer = random_layer(16, 32, cell=cell)
    x = noise(5, 16)
    x[2] = np.nan
    result = layer.run(kernel, x, np.ones((5, 32), bool), layer.start(1), [0, 5])
    assert np.isfinite(result.states).all()
