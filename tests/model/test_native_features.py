"""Compiled features of many sessions against the float64 front end."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from surnn.features import LogMelFeatures, ReferenceLogMel, ScaleFeatures, build_features
from surnn.frontend import log_mel
from surnn.spec import Head, LayerSpec, LogMelFrontEnd, ModelKind, ModelSpec

LENGTHS = [3, 1, 20, 0, 7]
ROWS = np.array([5, 0, 3, 1, 7])
OFFSETS = np.cumsum([0, *LENGTHS])


def make_spec(front: LogMelFrontEnd) -> ModelSpec:
    return ModelSpec(
        name="test",
        kind=ModelKind.AUDIO,
        sample_rate=16_000,
        hop=160,
        frontend=front,
        layers=(LayerSpec(hidden=8),),
        labels=("a",),
        head=Head.SIGMOID,
    )


def audio(frames: int, seed: int = 0) -> np.ndarray:
    """Noise whose level jumps from frame to frame, between -80 and -3 dBFS, on an offset."""
    rng = np.random.default_rng(seed)
    level = 10 ** rng.uniform(-4, -0.15, (frames, 1))
    return (rng.standard_normal((frames, 160)) * level * 0.3 + 0.02).astype(np.float32)


@pytest.mark.parametrize(
    "front",
    [
        LogMelFrontEnd(),
        LogMelFrontEnd(window=401, bands=33),
        LogMelFrontEnd(window=200, n_fft=256, bands=20),
        LogMelFrontEnd(window=640, n_fft=1024, bands=64, f_min=0.0, f_max=8000.0),
        LogMelFrontEnd(window=160, n_fft=400, bands=16),
    ],
)
def test_equals_the_reference(front: LogMelFrontEnd) -> None:
    spec = make_spec(front)
    features = build_features(spec)
    assert isinstance(features, ReferenceLogMel if front.n_fft == 400 else LogMelFeatures)
    context = audio(8, seed=1)[:, :1] * np.ones((8, spec.context), np.float32)
    frames, before = audio(OFFSETS[-1]), context.copy()
    seen = features(frames, OFFSETS, ROWS, context)
    for row, begin, end in zip(ROWS, OFFSETS[:-1], OFFSETS[1:], strict=True):
        expected, after = log_mel(spec, frames[begin:end], before[row])
        np.testing.assert_allclose(seen[begin:end], expected, rtol=0, atol=1e-4 * front.scale)
        np.testing.assert_array_equal(context[row], after)
    others = [2, 4, 6]
    np.testing.assert_array_equal(context[others], before[others])


@pytest.mark.parametrize("samples", [np.zeros(1600), np.full(1600, 0.9)])
def test_silence_and_constant(samples: np.ndarray) -> None:
    spec = make_spec(LogMelFrontEnd())
    frames = samples.reshape(10, 160).astype(np.float32)
    context = np.zeros((1, spec.context), np.float32)
    expected, _ = log_mel(spec, frames, context[0])
    seen = build_features(spec)(frames, np.array([0, 10]), np.array([0]), context)
    np.testing.assert_allclose(seen, expected, rtol=0, atol=2e-4)


def test_chunks_and_company_give_the_same_bits() -> None:
    spec = make_spec(LogMelFrontEnd())
    features = build_features(spec)
    frames = audio(OFFSETS[-1])
    together = features(frames, OFFSETS, ROWS, np.zeros((8, spec.context), np.float32))
    for begin, end in itertools.pairwise(OFFSETS):
        context = np.zeros((1, spec.context), np.float32)
        for i in range(begin, end):
            one = features(frames[i : i + 1], np.array([0, 1]), np.array([0]), context)
            np.testing.assert_array_equal(one[0], together[i])


def test_sensor_channels_are_scaled() -> None:
    features = ScaleFeatures((1.0, 2.0), (0.5, 2.0))
    frames = np.array([[1, 2], [3, 4]], np.float32)
    none = np.zeros((0, 0), np.float32)
    seen = features(frames, np.array([0, 2]), np.array([0]), none)
    assert seen.tolist() == [[0, 0], [1, 4]]
