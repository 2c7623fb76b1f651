from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surnn.errors import InvalidShape
from surnn.frontend import LOG_FLOOR, dft_matrix, folded_dft, log_mel, mel_matrix
from surnn.spec import LogMelFrontEnd, ModelSpec
from surnn.types import Float32

NOISE = np.random.default_rng(3).standard_normal((60, 160)).astype(np.float32)
EMPTY = np.zeros(240, np.float32)


def energy(spec: ModelSpec, features: Float32) -> Float32:
    """Band energies from features."""
    front = spec.frontend
    assert isinstance(front, LogMelFrontEnd)
    values: Float32 = np.exp(features / front.scale - front.offset)
    return values


def tone(hertz: float, frames: int = 20, level: float = 1.0) -> Float32:
    time = np.arange(frames * 160) / 16_000
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32).reshape(frames, 160)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 60), max_size=5))
def test_chunks_make_no_difference(audio_spec: ModelSpec, cuts: list[int]) -> None:
    whole, last = log_mel(audio_spec, NOISE, EMPTY)
    edges = [0, *sorted(cuts), 60]
    context, parts = EMPTY, []
    for a, b in pairwise(edges):
        features, context = log_mel(audio_spec, NOISE[a:b], context)
        parts.append(features)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)
    np.testing.assert_array_equal(context, last)


def test_a_frame_sees_its_window_and_nothing_else(audio_spec: ModelSpec) -> None:
    features, context = log_mel(audio_spec, NOISE, EMPTY)
    np.testing.assert_array_equal(context, NOISE.ravel()[-240:])
    changed = NOISE.copy()
    changed[30] = 0.0
    other, _ = log_mel(audio_spec, changed, EMPTY)
    differs = np.flatnonzero((other != features).any(axis=1))
    # 400 samples reach over three hops; nothing looks ahead.
    assert differs.tolist() == [30, 31, 32]


def test_against_a_plain_fft(audio_spec: ModelSpec) -> None:
    features, _ = log_mel(audio_spec, NOISE, EMPTY)
    samples = np.concatenate([EMPTY, NOISE.ravel()]).astype(np.float64)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    mel = mel_matrix(audio_spec)
    for i in (0, 1, 59):
        window = samples[i * 160 : i * 160 + 400]
        spectrum = np.fft.rfft((window - window.mean()) * hann * 2 / hann.sum(), 512)
        expected = (np.log(np.abs(spectrum) ** 2 @ mel + LOG_FLOOR) + 12.0) * 0.2
        np.testing.assert_allclose(features[i], expected, atol=1e-5)


@pytest.mark.parametrize("hertz", [200.0, 440.0, 1000.0, 3000.0, 6000.0])
def test_a_full_scale_sine_has_power_near_one_in_its_band(
    audio_spec: ModelSpec, hertz: float
) -> None:
    features, _ = log_mel(audio_spec, tone(hertz), EMPTY)
    power = energy(audio_spec, features)[5:].mean(axis=0)
    mel = mel_matrix(audio_spec)
    expected = int(np.argmax(mel[round(hertz * 512 / 16_000)]))
    assert abs(int(power.argmax()) - expected) <= 1
    assert 0.4 < power.max() < 2.0
    far = np.abs(np.arange(40) - expected) > 6
    assert power[far].max() < 1e-3


def test_level_shows_as_power(audio_spec: ModelSpec) -> None:
    loud, _ = log_mel(audio_spec, tone(1000.0), EMPTY)
    soft, _ = log_mel(audio_spec, tone(1000.0, level=0.1), EMPTY)
    band = int(loud[10].argmax())
    ratio = energy(audio_spec, loud)[10, band] / energy(audio_spec, soft)[10, band]
    assert ratio == pytest.approx(100.0, rel=0.01)


def test_a_constant_is_as_silent_as_zeros(audio_spec: ModelSpec) -> None:
    silent, _ = log_mel(audio_spec, np.zeros((3, 160), np.float32), EMPTY)
    constant, _ = log_mel(
        audio_spec, np.full((3, 160), 0.5, np.float32), np.full(240, 0.5, np.float32)
    )
    np.testing.assert_allclose(constant, silent, atol=1e-6)
    np.testing.assert_allclose(silent, (np.log(LOG_FLOOR) + 12.0) * 0.2, rtol=1e-6)


def test_bands_are_triangles_over_the_whole_range(audio_spec: ModelSpec) -> None:
    mel = mel_matrix(audio_spec)
    assert mel.shape == (257, 40)
    assert mel.min() == 0.0
    assert mel.max() <= 1.0
    assert (mel.max(axis=0) > 0).all(), "a band without a bin would always be silent"
    centres = mel.argmax(axis=0)
    assert (np.diff(centres) >= 0).all()
    # Neighbours share each bin between the first and the last centre.
    np.testing.assert_allclose(mel.sum(axis=1)[centres[0] + 1 : centres[-1]], 1.0, atol=1e-9)


def test_dft_matrix_shapes(audio_spec: ModelSpec) -> None:
    basis, bands = dft_matrix(audio_spec)
    assert basis.shape == (400, bands.shape[0])
    assert bands.shape[1] == 40
    assert basis.dtype == bands.dtype == np.float64


@pytest.mark.parametrize("window", [160, 399, 400])
def test_folded_matrices_give_the_same_power(audio_spec: ModelSpec, window: int) -> None:
    front = LogMelFrontEnd(window=window)
    spec = audio_spec.model_copy(update={"frontend": front})
    basis, bands = dft_matrix(spec)
    (first, second), cosines, sines, folded_bands = folded_dft(spec)
    x = np.random.default_rng(5).standard_normal((3, window)) + 1.0
    real = (x[:, first] + x[:, second]) @ cosines
    imaginary = (x[:, first] - x[:, second]) @ sines
    energy = (real**2 + imaginary**2) @ folded_bands
    np.testing.assert_allclose(energy, np.square(x @ basis) @ bands, rtol=1e-10)


def test_no_frames_are_no_features(audio_spec: ModelSpec) -> None:
    context = NOISE.ravel()[:240]
    features, after = log_mel(audio_spec, np.zeros((0, 160), np.float32), context)
    assert features.shape == (0, 40)
    np.testing.assert_array_equal(after, context)


def test_wrong_shapes_are_refused(audio_spec: ModelSpec, sensor_spec: ModelSpec) -> None:
    with pytest.raises(InvalidShape, match=r"frames are \[2, 161\], expected \[T, 160\]"):
        log_mel(audio_spec, np.zeros((2, 161), np.float32), EMPTY)
    with pytest.raises(InvalidShape, match=r"frames are \[160\], expected \[T, 160\]"):
        log_mel(audio_spec, np.zeros(160, np.float32), EMPTY)
    with pytest.raises(InvalidShape, match=r"context is \[239\], expected \[240\]"):
        log_mel(audio_spec, NOISE, EMPTY[1:])
    with pytest.raises(InvalidShape, match="front end is 'scale', expected 'logmel'"):
        log_mel(sensor_spec, NOISE, EMPTY)
