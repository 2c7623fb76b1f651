"""Compiled sigmoid, tanh and log against float64, and what they make of NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from surnn.kernels import activations
from surnn.kernels.simd import load, store, zeros8, zeros16


def vectorised(function: Any, like: Any) -> Callable[[np.ndarray], np.ndarray]:
    @numba.njit  # type: ignore[untyped-decorator]
    def run(x: Any, out: Any) -> None:
        for i in range(0, len(x), 8):
            store(out, i, function(load(x, i, like())))

    def call(x: np.ndarray) -> np.ndarray:
        # The last vector may reach 8 numbers beyond the loop's end.
        padded = np.ones(len(x) // 8 * 8 + 24, np.float32)
        padded[: len(x)] = x
        out = np.zeros_like(padded)
        run(padded[:-16], out)
        return out[: len(x)]

    return call


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    wide = np.linspace(-100, 100, 4001)
    near = np.linspace(-2, 2, 4001)
    return np.concatenate([wide, near, [0.0, -0.0, 1e-30, 1e30, -1e30]]).astype(np.float32)


@pytest.mark.parametrize("like", [zeros8, zeros16])
def test_sigmoid(values: np.ndarray, like: Any) -> None:
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-values.astype(np.float64)))
    np.testing.assert_allclose(
        vectorised(activations.sigmoid, like)(values), expected, rtol=0, atol=1.2e-7
    )


def test_tanh(values: np.ndarray) -> None:
    expected = np.tanh(values.astype(np.float64))
    np.testing.assert_allclose(
        vectorised(activations.tanh, zeros16)(values), expected, rtol=0, atol=3e-7
    )


def test_log() -> None:
    values = np.geomspace(1e-10, 1e6, 10_001).astype(np.float32)
    np.testing.assert_allclose(
        vectorised(activations.log, zeros16)(values),
        np.log(values.astype(np.float64)),
        rtol=3e-7,
        atol=1e-7,
    )


@pytest.mark.parametrize("function", [activations.sigmoid, activations.tanh])
def test_no_number_gives_nan(function: Any) -> None:
    bad = np.array([np.nan, np.inf, -np.inf, 0, 0, 0, 0, 0] * 2, np.float32)
    assert np.isfinite(vectorised(function, zeros16)(bad)).all()
