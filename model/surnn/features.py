"""Front ends for many sessions at once, compiled: raw frames to features.

The same numbers as `surnn.frontend.log_mel` (1e-4 in the log domain), whatever the batch and the
chunking. Needs the `native` extra.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from surnn.frontend import hann_window, log_mel, mel_matrix
from surnn.kernels.encoder import encode
from surnn.kernels.fft import fft_places, fft_twiddles, untangle_twiddles
from surnn.kernels.logmel import log_mel_batch
from surnn.kernels.packing import aligned, padded
from surnn.spec import LogMelFrontEnd, ModelSpec
from surnn.types import Float32, Int64

__all__ = [
    "ConvolutionEncoder",
    "Features",
    "LogMelFeatures",
    "ReferenceLogMel",
    "ScaleFeatures",
    "build_features",
]


class Features(Protocol):
    """A front end over the frames of many sessions."""

    def __call__(self, frames: Float32, offsets: Int64, rows: Int64, context: Float32) -> Float32:
        """Features [N, F] of the frames [N, S] of all sessions, one after the other.

        Args:
            frames: N frames.
            offsets: each session's first frame, and N: [B + 1].
            rows: each session's row of `context`, [B].
            context: samples before the frames [capacity, window - hop]; moved on in place.
        """
        ...


class LogMelFeatures:
    """Streaming log-mel energies; the context lies in a row of a pool."""

    def __init__(self, spec: ModelSpec, front: LogMelFrontEnd) -> None:
        size = front.n_fft // 2
        bands = mel_matrix(spec)
        used = [np.flatnonzero(band) for band in bands.T]
        edges = [(int(b[0]), int(b[-1]) + 1) if len(b) else (0, 0) for b in used]
        self._bands = len(edges)
        self._hop = spec.hop
        self._tables = (
            fft_twiddles(size),
            fft_places(size),
            untangle_twiddles(size),
            np.array(edges, np.int64),
            np.concatenate([bands[first:end, i] for i, (first, end) in enumerate(edges)]).astype(
                np.float32
            ),
            np.float32(front.offset),
            np.float32(front.scale),
        )
        # Half, because the kernel's spectrum is that of the sum of two halves.
        self._window = (0.5 * hann_window(spec)).astype(np.float32)

    def __call__(self, frames: Float32, offsets: Int64, rows: Int64, context: Float32) -> Float32:
        """See `Features`."""
        features = np.empty((len(frames), self._bands), np.float32)
        log_mel_batch(
            frames, offsets, rows, context, self._window, self._hop, *self._tables, features
        )
        return features


class ReferenceLogMel:
    """`surnn.frontend.log_mel`, session by session: for FFT sizes that the kernel has not."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec

    def __call__(self, frames: Float32, offsets: Int64, rows: Int64, context: Float32) -> Float32:
        """See `Features`."""
        parts = []
        for row, begin, end in zip(rows, offsets[:-1], offsets[1:], strict=True):
            features, context[row] = log_mel(self._spec, frames[begin:end], context[row])
            parts.append(features)
        return np.concatenate(parts)


class ScaleFeatures:
    """Each channel shifted and scaled."""

    def __init__(self, mean: tuple[float, ...], scale: tuple[float, ...]) -> None:
        self._mean = np.array(mean, np.float32)
        self._scale = np.array(scale, np.float32)

    def __call__(self, frames: Float32, offsets: Int64, rows: Int64, context: Float32) -> Float32:
        """See `Features`; `context` is empty and stays so."""
        features: Float32 = (frames - self._mean) * self._scale
        return features


def build_features(spec: ModelSpec) -> Features:
    """The front end that a spec names."""
    front = spec.frontend
    if not isinstance(front, LogMelFrontEnd):
        return ScaleFeatures(front.mean, front.scale)
    if front.n_fft < 16 or front.n_fft & (front.n_fft - 1):
        return ReferenceLogMel(spec)
    return LogMelFeatures(spec, front)


class ConvolutionEncoder:
    """A causal convolution and ReLU over the features; the past lies in a row of a pool."""

    def __init__(self, weight: Float32, bias: Float32) -> None:
        """weight [W, F, frames] and bias [W] of `surnn.nn.encoder.Encoder`."""
        self._width = len(bias)
        wide = padded(self._width, 16)
        matrix = weight.transpose(2, 1, 0).reshape(-1, self._width).astype(np.float64)
        matrix = np.pad(matrix, ((0, 0), (0, wide - self._width)))
        # Blocks of 16 outputs, one after the other.
        self._weights = aligned(matrix.reshape(len(matrix), -1, 16).transpose(1, 0, 2))
        self._bias = aligned(np.pad(bias.astype(np.float64), (0, wide - self._width)))

    def __call__(self, features: Float32, offsets: Int64, rows: Int64, past: Float32) -> Float32:
        """Encoded frames [N, W] of the features [N, F]; see `Features` for the rest."""
        encoded: Float32 = np.empty((len(features), self._width), np.float32)
        encode(features, offsets, rows, past, self._weights, self._bias, encoded)
        return encoded
