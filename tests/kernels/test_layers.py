"""Row, block and batch kernels: the reference's numbers, and the same bits however they are cut."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from surnn.kernels import reference

KERNELS = ["row", "block8", "block16", "batch8", "batch16"]
SHAPES = [(40, 64, 8), (7, 40, 8), (13, 50, 1), (3, 7, 1), (24, 24, 8), (64, 48, 16), (16, 40, 5)]


def noise(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def start(sessions: int, hidden: int) -> np.ndarray:
    return np.tanh(noise(sessions, hidden, seed=2))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("inputs", "hidden", "group"), SHAPES)
def test_equals_the_reference(
    kernel: str, inputs: int, hidden: int, group: int, random_layer: Any, pattern: Any
) -> None:
    layer = random_layer(inputs, hidden)
    x, h, opened = noise(60, inputs), start(1, hidden), pattern(60, hidden, group, 0.2)
    result = layer.run(kernel, x, opened, h, [0, 60])
    expected = reference.layer(x, opened, h[0], layer.weights)
    np.testing.assert_allclose(result.out, expected, rtol=0, atol=5e-7)
    np.testing.assert_array_equal(result.states[0], result.out[-1])
    logits = expected @ layer.head.T.astype(np.float64) + [1, 2, 3]
    np.testing.assert_allclose(result.logits, logits, rtol=0, atol=5e-6)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("inputs", "hidden", "group"), SHAPES)
def test_closed_neurons_keep_their_bits(
    kernel: str, inputs: int, hidden: int, group: int, random_layer: Any, pattern: Any
) -> None:
    layer = random_layer(inputs, hidden)
    h, opened = start(1, hidden), pattern(40, hidden, group, 0.3)
    out = layer.run(kernel, noise(40, inputs), opened, h, [0, 40]).out
    before = np.concatenate([h, out[:-1]])
    assert (out[~opened] == before[~opened]).all()
    assert (out[opened] != before[opened]).mean() > 0.99


@pytest.mark.parametrize("kernel", KERNELS)
def test_chunking_and_company_leave_no_trace(kernel: str, random_layer: Any, pattern: Any) -> None:
    """Seven ragged sessions at once, each alone, and each cut in pieces: the same bits."""
    lengths, hidden = [11, 1, 30, 0, 5, 30, 8], 48
    offsets = np.cumsum([0, *lengths]).tolist()
    layer = random_layer(40, hidden)
    x, h = noise(offsets[-1], 40), start(len(lengths), hidden)
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


@pytest.mark.parametrize("lanes", [8, 16])
def test_batch_and_block_kernels_give_the_same_bits(
    lanes: int, random_layer: Any, pattern: Any
) -> None:
    lengths = [9, 20, 1, 20, 7]
    offsets = np.cumsum([0, *lengths]).tolist()
    layer = random_layer(40, 64)
    x, h, opened = noise(57, 40), start(5, 64), pattern(57, 64, lanes, 0.3)
    one = layer.run(f"block{lanes}", x, opened, h, offsets)
    other = layer.run(f"batch{lanes}", x, opened, h, offsets)
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
    h, opened = start(1, 64), pattern(50, 64, lanes, 0.2)
    assumed = layer.run(f"block{lanes}", x, opened, h, [0, 50])
    known = layer.run(f"block{lanes}", x, opened, h, [0, 50], words(below))
    assert (assumed.out == known.out).all()


@pytest.mark.parametrize(("gain", "bound"), [(1.0, 1e-6), (3.0, 5e-6)])
def test_error_stays_small_over_ten_thousand_steps(
    gain: float, bound: float, random_layer: Any, pattern: Any
) -> None:
    layer = random_layer(16, 32, gain)
    x, h, opened = noise(10_000, 16), start(1, 32), pattern(10_000, 32, 16, 0.2)
    expected = reference.layer(x, opened, h[0], layer.weights)
    for kernel in KERNELS:
        result = layer.run(kernel, x, opened, h, [0, 10_000])
        assert np.abs(result.out - expected).max() < bound


@pytest.mark.parametrize("kernel", KERNELS)
def test_nan_input_cannot_poison_a_state(kernel: str, random_layer: Any) -> None:
    layer = random_layer(16, 32)
    x = noise(5, 16)
    x[2] = np.nan
    result = layer.run(kernel, x, np.ones((5, 32), bool), start(1, 32), [0, 5])
    assert np.isfinite(result.states).all()
