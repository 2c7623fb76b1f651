"""The compiled power spectrum against numpy's FFT."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from surnn.kernels import fft


@numba.njit  # type: ignore[untyped-decorator]
def run(buffer: Any, size: int, tables: Any, power: Any) -> None:
    twiddles, places, untangle = tables
    fft.transform(buffer, size, twiddles)
    fft.power_spectrum(buffer, size, places, untangle, power)


@pytest.mark.parametrize("n_fft", [4, 8, 16, 256, 512, 1024])
def test_power_of_sixteen_frames(n_fft: int) -> None:
    frames = np.random.default_rng(0).standard_normal((16, n_fft)).astype(np.float32)
    size = n_fft // 2
    buffer = np.ascontiguousarray(frames.T).ravel()
    power = np.zeros(16 * (size + 1), np.float32)
    tables = (fft.fft_twiddles(size), fft.fft_places(size), fft.untangle_twiddles(size))
    run(buffer, size, tables, power)
    expected = np.abs(np.fft.rfft(frames.astype(np.float64))) ** 2
    np.testing.assert_allclose(power.reshape(-1, 16).T / 4, expected, rtol=1e-5, atol=1e-6 * n_fft)
