"""Uneven rows on an even grid: as all at once, in any chunks, with faults named."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surnn.dataset.sensor import even_grid
from surnn.errors import InvalidInput, InvalidShape
from surnn.grid import EvenGrid


def jittery(seed: int, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Times about 10 ms apart, some of them shared, and two channels."""
    rng = np.random.default_rng(seed)
    steps = rng.choice([0.0, 0.004, 0.01, 0.013, 0.05], n)
    times = 3.7 + np.cumsum(steps)
    return times, rng.standard_normal((n, 2)).astype(np.float32)


@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 200), max_size=6))
def test_chunks_make_no_difference(seed: int, cuts: list[int]) -> None:
    times, rows = jittery(seed)
    grid = EvenGrid(100.0)
    edges = [0, *sorted(cuts), len(times)]
    parts = [grid.push(times[a:b], rows[a:b]) for a, b in pairwise(edges)]
    found = np.concatenate([*parts, grid.finish()])
    expected = even_grid(rows, times, 100.0)
    assert abs(len(found) - len(expected)) <= 1  # a last row half a step behind the last time
    n = min(len(found), len(expected))
    np.testing.assert_allclose(found[:n], expected[:n], atol=1e-5)


def test_even_rows_come_back_at_once() -> None:
    grid = EvenGrid(50.0)
    rows = np.arange(10.0)[:, None]
    first = grid.push(np.arange(10) / 50.0, rows)
    assert first[:, 0].tolist() == list(range(9))  # the last time may have more rows
    assert grid.finish()[:, 0].tolist() == [9.0]
    assert EvenGrid(50.0).finish().shape == (0, 0)


def test_a_line_lies_between_rows_and_a_mean_at_shared_times() -> None:
    grid = EvenGrid(10.0)
    grid.push(np.array([0.0, 0.2, 0.2]), np.array([[0.0], [1.0], [3.0]]))
    assert grid.push(np.array([0.3]), np.array([[0.0]]))[:, 0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("times", "rows", "message"),
    [
        ([0.5, 0.4], [[1.0], [1.0]], "before the one in front of it, expected times in order"),
        ([0.0, 2.5], [[1.0], [1.0]], r"no rows for 2\.5 s, expected at most 1"),
        ([0.0], [[float("nan")]], "NaN or infinity"),
    ],
)
def test_faults_are_named(times: list[float], rows: list[list[float]], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        EvenGrid(50.0).push(np.array(times), np.array(rows))


def test_shapes_must_fit() -> None:
    grid = EvenGrid(50.0)
    with pytest.raises(InvalidShape, match=r"times are \[2\] and rows \[3, 1\]"):
        grid.push(np.zeros(2), np.zeros((3, 1)))
    grid.push(np.zeros(1), np.zeros((1, 2)))
    with pytest.raises(InvalidShape, match="rows have 3 channels, expected 2"):
        grid.push(np.ones(1), np.zeros((1, 3)))
    with pytest.raises(InvalidInput, match="expected both above 0"):
        EvenGrid(0.0)
