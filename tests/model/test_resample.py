"""Resampling: any chunking gives the same bits, and what passes is what should."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from surnn.errors import InvalidShape
from surnn.resample import Resampler

RATES = [4_000, 8_000, 11_025, 12_345, 22_050, 32_000, 44_100, 44_101, 48_000, 384_000]


def resample(samples: np.ndarray, rate: int, out_rate: int = 16_000) -> np.ndarray:
    resampler = Resampler(rate, out_rate, samples.shape[1])
    return np.concatenate([resampler.process(samples), resampler.flush()])


def sine(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    t = np.arange(int(rate * seconds)) / rate
    return np.sin(2 * np.pi * hertz * t).astype(np.float32)[:, None]


@settings(max_examples=40, deadline=None)
@given(
    rate=st.sampled_from(RATES),
    cuts=st.lists(st.integers(0, 3000), max_size=12),
    channels=st.sampled_from([1, 3]),
)
def test_any_chunking_gives_the_same_bits(rate: int, cuts: list[int], channels: int) -> None:
    samples = np.random.default_rng(0).standard_normal((3000, channels)).astype(np.float32)
    resampler = Resampler(rate, 16_000, channels)
    parts = [resampler.process(part) for part in np.split(samples, sorted(cuts))]
    chunked = np.concatenate([*parts, resampler.flush()])
    np.testing.assert_array_equal(chunked, resample(samples, rate))


@pytest.mark.parametrize("rate", RATES)
def test_length_is_that_of_the_stream(rate: int) -> None:
    out = resample(np.zeros((rate, 1), np.float32), rate)
    assert abs(len(out) - 16_000) <= 1


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_keeps_its_time_and_level(rate: int) -> None:
    out = resample(sine(1000, rate), rate)[:, 0]
    expected = np.sin(2 * np.pi * 1000 * np.arange(len(out)) / 16_000)
    error = (out - expected)[400:-400]
    assert 20 * np.log10(np.abs(error).max()) < -60


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_what_would_alias_is_stopped(rate: int) -> None:
    out = resample(sine(9_500, rate), rate)[400:-400]
    assert 20 * np.log10(np.abs(out).max()) < -60


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_agrees_with_soxr_on_band_limited_noise(rate: int) -> None:
    rng = np.random.default_rng(1)
    spectrum = np.fft.rfft(rng.standard_normal(rate))
    spectrum[int(0.8 * min(rate, 16_000) / 2) :] = 0  # bins of 1 Hz
    samples = np.fft.irfft(spectrum, rate).astype(np.float32)[:, None]
    out = resample(samples, rate)[:, 0]
    expected = soxr.resample(samples[:, 0], rate, 16_000, quality="VHQ")
    count = min(len(out), len(expected))
    error = (out[:count] - expected[:count])[400:-400]
    assert np.sqrt(np.mean(error**2)) < 1e-3 * np.sqrt(np.mean(expected**2))


def test_a_saved_history_goes_on_with_the_same_bits() -> None:
    samples = np.random.default_rng(2).standard_normal((2000, 1)).astype(np.float32)
    first = Resampler(44_100, 16_000)
    first.process(samples[:777])
    second = Resampler(44_100, 16_000)
    second.history, second.phase = first.history.copy(), first.phase
    np.testing.assert_array_equal(second.process(samples[777:]), first.process(samples[777:]))


def test_wrong_channels_are_refused() -> None:
    with pytest.raises(InvalidShape, match=r"samples are \[5, 2\], expected \[n, 1\]"):
        Resampler(8_000, 16_000).process(np.zeros((5, 2), np.float32))
