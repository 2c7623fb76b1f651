"""Streaming resampling whose whole memory is a few hundred numbers that can be saved and restored.

A polyphase windowed-sinc filter, written here because a session must be able to move: the usual
libraries keep a stream's history out of reach. Each output sample is one dot product of fixed
length, so the samples are the same bits however the stream was cut into chunks.

Output m stands at input time m * in_rate / out_rate. It needs the `taps / 2` input samples behind
that time, so the result comes 24 periods of the lower rate late: 1.5 ms from 48 kHz to 16 kHz.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np

from surnn.errors import InvalidShape
from surnn.types import Float32, Int64

__all__ = ["Resampler"]

_ZEROS = 24
"""Zero crossings of the sinc on each side."""
_BETA = 7.0
"""Kaiser window: about 70 dB of stop band."""
_CUTOFF = 0.95
"""Half-power point, as a share of the lower Nyquist rate; flat up to 0.86 of it."""
_MAX_PHASES = 1024
"""Rates with no small ratio round to this many positions between two samples."""

_FEW_PHASES = 8


@lru_cache(maxsize=16)
def _filters(up: int, down: int) -> Float32:
    """Filters [phases, taps] for output positions between two input samples, taps even."""
    phases = min(up, _MAX_PHASES)
    cutoff = _CUTOFF * min(1.0, up / down)
    half = int(np.ceil(_ZEROS * max(1.0, down / up)))
    offset = np.arange(phases)[:, None] / phases  # of the output behind input `half - 1`
    distance = np.arange(2 * half)[None, :] - (half - 1) - offset
    window = np.i0(_BETA * np.sqrt(np.clip(1.0 - (distance / half) ** 2, 0.0, None)))
    filters = np.sinc(cutoff * distance) * window
    filters /= filters.sum(axis=1, keepdims=True)
    table: Float32 = filters.astype(np.float32)
    table.setflags(write=False)
    return table


class Resampler:
    """Turns one stream's samples [n, channels] into those of another rate."""

    def __init__(self, in_rate: int, out_rate: int, channels: int = 1) -> None:
        divisor = gcd(in_rate, out_rate)
        self._up, self._down = out_rate // divisor, in_rate // divisor
        self._filters = _filters(self._up, self._down)
        self._half = self._filters.shape[1] // 2
        # Inputs that coming outputs need. Before the stream there is silence.
        self.history: Float32 = np.zeros((self._half - 1, channels), np.float32)
        self.phase = 0
        """Position of the next output behind `history[half - 1]`, in 1 / up of an input sample."""

    def restore(self, history: Float32, phase: int) -> None:
        """Go on from a saved `history` and `phase`. Raises `InvalidShape`."""
        channels, most = self.history.shape[1], 2 * self._half
        if history.ndim != 2 or history.shape[1] != channels or len(history) > most:
            raise InvalidShape(
                f"resampler history is {list(history.shape)}, "
                f"expected [n, {channels}] with n at most {most}"
            )
        if not 0 <= phase <= self._up * self._down:
            raise InvalidShape(f"resampler phase is {phase}, expected 0 to {self._up * self._down}")
        self.history, self.phase = history, phase

    def process(self, samples: Float32) -> Float32:
        """The outputs [m, channels] that these samples [n, channels] complete."""
        if samples.ndim != 2 or samples.shape[1] != self.history.shape[1]:
            raise InvalidShape(
                f"samples are {list(samples.shape)}, expected [n, {self.history.shape[1]}]"
            )
        inputs = np.concatenate([self.history, samples])
        # Output j reads inputs start_j ... start_j + taps - 1.
        last = len(inputs) - 2 * self._half
        count = (
            0 if last < 0 else max(0, ((last + 1) * self._up - self.phase - 1) // self._down + 1)
        )
        position = self.phase + self._down * np.arange(count, dtype=np.int64)
        start, phase = position // self._up, position % self._up
        if self._up > _MAX_PHASES:
            phase = phase * _MAX_PHASES // self._up
        out = np.empty((count, inputs.shape[1]), np.float32)
        if count:
            for channel, column in enumerate(np.ascontiguousarray(inputs.T)):
                windows = np.lib.stride_tricks.sliding_window_view(column, 2 * self._half)
                out[:, channel] = self._filtered(windows, start, phase)
        behind = self.phase + self._down * count
        used = min(behind // self._up, len(inputs))
        self.history = inputs[used:].copy()
        self.phase = behind - used * self._up
        return out

    def _filtered(self, windows: Float32, start: Int64, phase: Int64) -> Float32:
        """Dot products [m] of windows[start] with the filters of their phases."""
        if self._up > _FEW_PHASES:
            gathered: Float32 = np.einsum("mt,mt->m", windows[start], self._filters[phase])
            return gathered
        # Windows of one phase are evenly spaced: a view each, nothing to gather.
        out = np.empty(len(start), np.float32)
        for first in range(min(self._up, len(start))):
            same = out[first :: self._up]
            spaced = windows[start[first] :: self._down][: len(same)]
            np.einsum("mt,t->m", spaced, self._filters[phase[first]], out=same)
        return out

    def flush(self) -> Float32:
        """The last outputs [m, channels], as if silence followed."""
        return self.process(np.zeros((self._half, self.history.shape[1]), np.float32))
