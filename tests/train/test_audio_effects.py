"""Effects do to a signal what they say, and no more."""

from __future__ import annotations

import numpy as np
import pytest

from surnn.train import audio_effects as effects
from surnn.types import Float32

RATE = 16_000
N = 16_000


def tone(hertz: float, n: int = N) -> Float32:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(n) / RATE)).astype(np.float32)


def rms(x: Float32) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def test_a_telephone_band_keeps_speech_and_drops_the_rest() -> None:
    band = effects.band_response(N, RATE, 300.0, 3400.0)
    for hertz, kept in ((1000, True), (2500, True), (60, False), (100, False), (5000, False)):
        out = effects.filtered(tone(hertz), band)
        assert (rms(out) / rms(tone(hertz)) > 0.99) == kept
    assert rms(effects.filtered(tone(5000), band)) < 1e-5


def test_a_low_pass_keeps_the_mean() -> None:
    band = effects.band_response(N, RATE, 0.0, 4000.0)
    np.testing.assert_allclose(effects.filtered(np.full(N, 0.1, np.float32), band), 0.1, atol=1e-6)


def test_an_equaliser_stays_within_its_depth() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        response = effects.equaliser_response(rng, N, RATE, 8.0)
        assert response.shape == (N // 2 + 1,)
        assert (np.abs(20 * np.log10(response)) <= 8.01).all()


def test_mu_law_is_fine_when_quiet_and_coarse_when_loud() -> None:
    quiet, loud = 0.001 * tone(440), tone(440)
    assert np.abs(effects.mu_law(quiet) - quiet).max() < 1e-4
    assert 1e-3 < np.abs(effects.mu_law(loud) - loud).max() < 2e-2
    assert len(np.unique(effects.mu_law(np.linspace(-2, 2, 50_000, dtype=np.float32)))) == 255
    assert effects.mu_law(np.zeros(4, np.float32)) == pytest.approx(0.0, abs=1e-4)


def test_a_law_is_fine_when_quiet_and_coarse_when_loud() -> None:
    quiet, loud = 0.001 * tone(440), tone(440)
    assert np.abs(effects.a_law(quiet) - quiet).max() < 3e-4
    assert 1e-3 < np.abs(effects.a_law(loud) - loud).max() < 2e-2
    line = np.linspace(-1, 1, 50_001, dtype=np.float32)
    assert np.abs(effects.a_law(line) - line).max() < 0.025
    assert len(np.unique(effects.a_law(2 * line))) == 255
    assert effects.a_law(np.ones(1, np.float32)) == pytest.approx(1.0)


def test_quantising_rounds_to_sixteen_bits_and_clips() -> None:
    out = effects.quantised(np.array([0.1, 1.5, -1.5, 1e-6], np.float32))
    np.testing.assert_array_equal(out * 32768, [3277, 32767, -32768, 0])


def test_stretching_changes_length_and_pitch() -> None:
    out = effects.stretched(tone(1000), 1.25)
    assert len(out) == 20_000
    spectrum = np.abs(np.fft.rfft(out))
    assert np.argmax(spectrum) * RATE / len(out) == pytest.approx(800, abs=2)
    np.testing.assert_array_equal(effects.stretched(tone(1000), 1.0), tone(1000))


def test_a_room_adds_a_tail_behind_the_sound_and_nothing_before() -> None:
    dry = np.zeros(N, np.float32)
    dry[4000] = 1.0
    wet = effects.reverberant(np.random.default_rng(1), dry, RATE)
    assert wet.shape == dry.shape
    assert np.abs(wet[:4000]).max() < 1e-5
    assert wet[4000] == pytest.approx(1.0, abs=1e-4)
    assert np.abs(wet[4100:6000]).max() > 1e-3


def test_gusts_change_the_level_and_nothing_else() -> None:
    noise = np.random.default_rng(0).standard_normal(4 * N).astype(np.float32)
    out = effects.gusty(np.random.default_rng(1), noise, RATE)
    assert out.dtype == np.float32
    gain = 20 * np.log10(out / noise)
    assert -30.01 <= gain.min() < -3
    assert -3 < gain.max() <= 6.01
    assert np.abs(np.diff(gain)).max() < 0.05, "no steps"


def test_another_mouth_moves_formants_and_not_the_pitch() -> None:
    rng = np.random.default_rng(0)
    pulses = np.zeros(N, np.float32)
    pulses[::160] = 1.0  # 100 Hz
    hertz = np.fft.rfftfreq(N, 1 / RATE)
    formant = np.exp(-np.square((hertz - 1500.0) / 250.0)).astype(np.float32)
    voice = effects.filtered(pulses, formant)
    np.testing.assert_allclose(effects.other_mouth(voice, 1.0), voice, atol=1e-5)
    longer = np.abs(np.fft.rfft(effects.other_mouth(voice, 1.2)))
    assert hertz[longer.argmax()] % 100.0 == pytest.approx(0.0, abs=1e-6)
    power = np.square(longer)
    centre = float((hertz * power).sum() / power.sum())
    assert centre == pytest.approx(1500.0 / 1.2, rel=0.05)
    short = rng.standard_normal(100).astype(np.float32)
    assert effects.other_mouth(short, 1.1) is short


def test_fading_touches_the_ends_alone() -> None:
    out = effects.faded(np.ones(1000, np.float32), RATE)
    assert (out[0], out[-1]) == (0.0, 0.0)
    assert (out[160:-160] == 1.0).all()
    assert (np.diff(out[:160]) > 0).all()
