"""Noises made by formula."""

from __future__ import annotations

import numpy as np
import pytest

from surnn.train.synthetic import (
    beeps,
    clicks,
    coloured_noise,
    cries,
    cry_clips,
    hum,
    synthetic_clips,
)

N = 64_000


@pytest.mark.parametrize("slope", [0.0, -3.0, -6.0])
def test_the_spectrum_falls_as_asked(slope: float) -> None:
    noise = coloured_noise(np.random.default_rng(0), N, slope)
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [power[a : 2 * a].mean() for a in (1000, 2000, 4000, 8000)]
    steps = np.diff(10 * np.log10(octaves))
    assert steps == pytest.approx(slope, abs=0.6)


@pytest.mark.parametrize("make", [hum, clicks, beeps, cries])
def test_every_kind_has_unit_level_and_no_nan(make: object) -> None:
    assert callable(make)
    for seed in range(5):
        wave = make(np.random.default_rng(seed), N)
        assert wave.shape == (N,)
        assert wave.dtype == np.float32
        assert float(np.sqrt(np.mean(wave**2))) == pytest.approx(1.0, rel=1e-3)


def test_the_bank_is_loud_unclipped_and_repeatable() -> None:
    bank = synthetic_clips(3, 4_000)
    assert len(bank) > 20
    for clip in bank:
        assert clip.samples.dtype == np.int16
        assert 1000 < np.abs(clip.samples.astype(int)).max() < 32_767
    again = synthetic_clips(3, 4_000)
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(bank, again, strict=True))


def test_a_cry_is_voiced_and_comes_again() -> None:
    calls, tonal = [], []
    for seed in range(20):
        wave = cries(np.random.default_rng(seed), 8 * N)
        level = np.abs(wave.reshape(-1, 800)).max(axis=1)
        loud = level > 0.2 * level.max()
        calls.append(int((np.diff(loud.astype(int)) == 1).sum()))
        power = np.abs(np.fft.rfft(wave[: 2 * N])) ** 2
        tonal.append(np.exp(np.log(power + 1e-9).mean()) / power.mean())
    assert min(calls) >= 2
    assert np.median(tonal) < 0.1, "far from the flat spectrum of noise"


def test_every_cry_of_the_bank_is_another() -> None:
    bank = cry_clips(3, 4_000, 6)
    assert {clip.samples.dtype for clip in bank} == {np.dtype(np.int16)}
    assert len({clip.samples.tobytes() for clip in bank}) == 6
    again = cry_clips(3, 4_000, 6)
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(bank, again, strict=True))
