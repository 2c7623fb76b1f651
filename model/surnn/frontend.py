"""The log-mel front end in numpy: the reference that torch and ONNX must agree with.

Frame i sees the `window` samples that end with its hop: `context = window - hop` from the past,
carried from chunk to chunk, and the hop itself. Per frame:

    remove the mean, Hann window, power spectrum, triangular mel bands, natural log, affine

All of it up to the power is linear, so it is one matrix: `dft_matrix`. A sine at full scale has
power near 1 in its band.
"""

from __future__ import annotations

import numpy as np

from surnn.errors import InvalidShape
from surnn.spec import LogMelFrontEnd, ModelSpec
from surnn.types import Float32

__all__ = ["LOG_FLOOR", "dft_matrix", "folded_dft", "hann_window", "log_mel", "mel_matrix"]

LOG_FLOOR = 1e-10
"""Added to the band energy before the log: -100 dB under full scale."""


def _mel(hertz: np.ndarray) -> np.ndarray:
    """The HTK mel scale."""
    mel: np.ndarray = 2595.0 * np.log10(1.0 + hertz / 700.0)
    return mel


def mel_matrix(spec: ModelSpec) -> np.ndarray:
    """Triangular bands over the power spectrum: float64 [n_fft // 2 + 1, bands]."""
    front = _log_mel_spec(spec)
    bins = np.arange(front.n_fft // 2 + 1) * spec.sample_rate / front.n_fft
    edges = np.linspace(_mel(np.array(front.f_min)), _mel(np.array(front.f_max)), front.bands + 2)
    low, mid, high = edges[:-2], edges[1:-1], edges[2:]
    position = _mel(bins)[:, None]
    rising = (position - low) / (mid - low)
    falling = (high - position) / (high - mid)
    weights: np.ndarray = np.clip(np.minimum(rising, falling), 0.0, None)
    return weights


def hann_window(spec: ModelSpec) -> np.ndarray:
    """The Hann window, scaled so that a sine at full scale has power near 1: float64 [window]."""
    size = _log_mel_spec(spec).window
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    window: np.ndarray = hann * (2.0 / hann.sum())
    return window


def dft_matrix(spec: ModelSpec) -> tuple[np.ndarray, np.ndarray]:
    """From a window of samples to real and imaginary parts, and from their squares to bands.

    Returns float64 matrices [window, 2N] and [2N, bands] over the N bins that some band uses.
    Mean removal and the Hann window are part of the first. Phases count from the middle of the
    window, so the real parts are symmetric around it and the imaginary parts antisymmetric.
    """
    front = _log_mel_spec(spec)
    bands = mel_matrix(spec)
    used = np.flatnonzero(bands.any(axis=1))
    angle = 2 * np.pi * np.outer(np.arange(front.window) - front.window / 2, used) / front.n_fft
    basis = np.concatenate([np.cos(angle), -np.sin(angle)], axis=1)
    basis *= hann_window(spec)[:, None]
    basis -= basis.mean(axis=0, keepdims=True)  # the same as removing each window's mean
    return basis, np.concatenate([bands[used], bands[used]], axis=0)


def folded_dft(spec: ModelSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The same with half the products: `dft_matrix` for sums and differences of mirrored samples.

    Returns the samples of each pair, int64 [2, P], the float64 matrices [P, N] of the pairs' sums
    and of their differences, which give real and imaginary parts, and [N, bands] for the power.
    """
    basis, bands = dft_matrix(spec)
    size, bins = len(basis), len(bands) // 2
    first = np.arange(size // 2 + 1)
    second = (size - first) % size  # the Hann window begins with its one zero
    share = np.where(first == second, 0.5, 1.0)[:, None]
    folded = basis[first] * share
    return np.stack([first, second]), folded[:, :bins], folded[:, bins:], bands[:bins]


def log_mel(spec: ModelSpec, frames: Float32, context: Float32) -> tuple[Float32, Float32]:
    """Features [T, F] of frames [T, S] that follow `context` [window - hop]; the next context.

    Computed in float64. Raises `InvalidShape`.
    """
    front = _log_mel_spec(spec)
    if frames.ndim != 2 or frames.shape[1] != spec.hop:
        raise InvalidShape(f"frames are {list(frames.shape)}, expected [T, {spec.hop}]")
    if context.shape != (spec.context,):
        raise InvalidShape(f"context is {list(context.shape)}, expected [{spec.context}]")
    if not len(frames):
        return np.zeros((0, front.bands), np.float32), context.copy()
    samples = np.concatenate([context, frames.ravel()]).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(samples, front.window)[:: spec.hop]
    basis, bands = dft_matrix(spec)
    energy = np.square(windows @ basis) @ bands
    features = (np.log(energy + LOG_FLOOR) + front.offset) * front.scale
    return features.astype(np.float32), samples[len(samples) - spec.context :].astype(np.float32)


def _log_mel_spec(spec: ModelSpec) -> LogMelFrontEnd:
    if not isinstance(spec.frontend, LogMelFrontEnd):
        raise InvalidShape(f"front end is {spec.frontend.type!r}, expected 'logmel'")
    return spec.frontend
