"""What rooms, telephones and sound cards do to audio: functions of float32 signals [n]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surnn.types import Float32

__all__ = [
    "a_law",
    "band_response",
    "equaliser_response",
    "faded",
    "filtered",
    "gusty",
    "mu_law",
    "other_mouth",
    "quantised",
    "reverberant",
    "stretched",
]

_MU = 255.0
_A = 87.6


def filtered(samples: Float32, response: Float32) -> Float32:
    """Multiply the spectrum by a response [n // 2 + 1]. Circular: ends meet, delay is zero."""
    out: Float32 = np.fft.irfft(np.fft.rfft(samples) * response, len(samples)).astype(np.float32)
    return out


def band_response(n: int, rate: int, low: float, high: float) -> Float32:
    """A band-pass of raised-cosine edges, as a response [n // 2 + 1]; hertz. low 0: low-pass."""
    hertz = np.fft.rfftfreq(n, 1.0 / rate).astype(np.float32)
    edge = np.clip((high - hertz) / (0.06 * high), 0.0, 1.0)
    response = 0.5 - 0.5 * np.cos(np.pi * edge)
    if low > 0:
        edge = np.clip((hertz - 0.7 * low) / (0.3 * low), 0.0, 1.0)
        response *= 0.5 - 0.5 * np.cos(np.pi * edge)
    shape: Float32 = response.astype(np.float32)
    return shape


def equaliser_response(rng: np.random.Generator, n: int, rate: int, depth_db: float) -> Float32:
    """Another microphone: a smooth random response [n // 2 + 1] within ±depth_db."""
    hertz = np.maximum(np.fft.rfftfreq(n, 1.0 / rate), 20.0)
    knots = np.geomspace(60.0, rate / 2.0, 7)
    gains = rng.normal(0.0, depth_db / 2.0, len(knots)).clip(-depth_db, depth_db)
    # Interpolated on a coarse grid first: np.interp over every bin would cost more than the FFT.
    coarse = np.geomspace(20.0, rate / 2.0, 128)
    curve = 10.0 ** (np.interp(np.log(coarse), np.log(knots), gains) / 20.0)
    response: Float32 = np.interp(hertz, coarse, curve).astype(np.float32)
    return response


def reverberant(rng: np.random.Generator, samples: Float32, rate: int) -> Float32:
    """The signal in a room: exponentially decaying noise behind the direct sound."""
    decay_seconds = rng.uniform(0.1, 0.6)
    length = int(0.7 * decay_seconds * rate)
    t = np.arange(length, dtype=np.float32) / rate
    tail = rng.standard_normal(length, dtype=np.float32)
    tail *= np.exp(np.float32(-6.9 / decay_seconds) * t)
    direct_db = rng.uniform(-3.0, 12.0)
    tail *= np.float32(10.0 ** (-direct_db / 20.0) / np.sqrt(np.sum(np.square(tail)) + 1e-9))
    tail[: int(0.002 * rate)] = 0.0
    tail[0] = 1.0
    n = -(-(len(samples) + length) // 8000) * 8000
    wet = np.fft.irfft(np.fft.rfft(samples, n) * np.fft.rfft(tail, n), n)
    return wet[: len(samples)].astype(np.float32)


def gusty(rng: np.random.Generator, samples: Float32, rate: int) -> Float32:
    """The signal at a level that comes and goes, by some 10 dB, at the pace of words or slower."""
    step = rate * 10.0 ** rng.uniform(-1.3, 0.0)
    knots = rng.normal(0.0, 10.0, 2 + int(len(samples) / step)).clip(-30.0, 6.0)
    level = np.interp(np.arange(len(samples)) / step, np.arange(len(knots)), knots)
    out: Float32 = samples * np.power(np.float32(10.0), level.astype(np.float32) / 20.0)
    return out


def stretched(samples: Float32, factor: float) -> Float32:
    """Played `factor` times as long, and lower: another speaker at another pace."""
    positions = np.arange(round(len(samples) * factor), dtype=np.float32) / np.float32(factor)
    whole = np.minimum(positions.astype(np.int64), len(samples) - 2)
    part = positions - whole.astype(np.float32)
    out: Float32 = samples[whole] * (1.0 - part) + samples[whole + 1] * part
    return out


def other_mouth(samples: Float32, factor: float) -> Float32:
    """The same voice from a mouth and throat `factor` times as long: formants move, pitch stays.

    In windows of 32 ms the smoothed spectrum is stretched along frequency, as vocal tract length
    perturbation does to features (Jaitly and Hinton, ICML workshop on speech, 2013).
    """
    size, hop = 512, 256
    if len(samples) < size:
        return samples
    taper = np.sin(np.pi * (np.arange(size, dtype=np.float32) + 0.5) / size)
    count = -(-(len(samples) + size) // hop)
    padded = np.zeros((count + 1) * hop, np.float32)
    padded[hop : hop + len(samples)] = samples
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * taper
    spectra = np.fft.rfft(windows, axis=1)
    width = 9
    wide = np.pad(np.abs(spectra), ((0, 0), (width // 2, width // 2)), mode="edge")
    sums = np.cumsum(np.pad(wide, ((0, 0), (1, 0))), axis=1)
    envelope = (sums[:, width:] - sums[:, :-width]) / width + 1e-6
    bins = np.minimum(np.arange(size // 2 + 1) * factor, size // 2)
    low = np.minimum(bins.astype(np.int64), size // 2 - 1)
    part = bins - low
    moved = envelope[:, low] * (1.0 - part) + envelope[:, low + 1] * part
    spectra *= np.clip(moved / envelope, 0.03, 30.0)
    pieces = (np.fft.irfft(spectra, size, axis=1) * taper).astype(np.float32)
    halves = np.zeros((len(pieces) + 1, hop), np.float32)
    halves[:-1] += pieces[:, :hop]
    halves[1:] += pieces[:, hop:]
    out: Float32 = halves.reshape(-1)[hop : hop + len(samples)]
    return out


def faded(samples: Float32, rate: int, seconds: float = 0.01) -> Float32:
    """Softened at both ends, so that a cut is no click."""
    n = min(round(seconds * rate), len(samples) // 2)
    ramp = np.linspace(0.0, 1.0, n, dtype=np.float32)
    out = samples.astype(np.float32, copy=True)
    out[:n] *= ramp
    out[len(out) - n :] *= ramp[::-1]
    return out


def mu_law(samples: Float32) -> Float32:
    """Through the 255 values of mu-law, as a telephone line (continuous form of G.711)."""
    squeezed = np.sign(samples) * np.log1p(_MU * np.minimum(np.abs(samples), 1.0)) / np.log1p(_MU)
    code = np.round(squeezed * 127.0) / 127.0
    expanded: NDArray[np.float64] = np.sign(code) * np.expm1(np.abs(code) * np.log1p(_MU)) / _MU
    return expanded.astype(np.float32)


def a_law(samples: Float32) -> Float32:
    """Through 255 values of A-law, the European telephone's (continuous form of G.711)."""
    size, scale = np.minimum(np.abs(samples), 1.0), 1.0 + np.log(_A)
    bent = (1.0 + np.log(np.maximum(_A * size, 1.0))) / scale
    squeezed = np.where(size < 1.0 / _A, _A * size / scale, bent)
    code = np.round(squeezed * 127.0) / 127.0
    bent = np.exp(np.maximum(code * scale, 1.0) - 1.0) / _A
    expanded = np.where(code < 1.0 / scale, code * scale / _A, bent)
    out: Float32 = (np.sign(samples) * expanded).astype(np.float32)
    return out


def quantised(samples: Float32) -> Float32:
    """Rounded to 16 bits and clipped at full scale."""
    whole = np.clip(np.round(samples * 32768.0), -32768.0, 32767.0)
    out: Float32 = (whole / 32768.0).astype(np.float32)
    return out
