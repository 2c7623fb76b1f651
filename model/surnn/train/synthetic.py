"""Noises made by formula: an endless supply that no recording's licence is tied to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surnn.train.recordings import Clip
from surnn.types import Float32

__all__ = ["beeps", "clicks", "coloured_noise", "cries", "cry_clips", "hum", "synthetic_clips"]

_SECONDS = 20.0


def coloured_noise(
    rng: np.random.Generator, samples: int, slope_db: float, swell: float = 0.0, rate: int = 16_000
) -> Float32:
    """Gaussian noise [samples] of RMS 1 whose power changes by `slope_db` per octave.

    0 is white, -3 pink, -6 brown. `swell` in 0...1 is the depth of a slow change of level.
    """
    spectrum = np.fft.rfft(rng.standard_normal(samples, dtype=np.float32))
    hertz = np.maximum(np.fft.rfftfreq(samples, 1.0 / rate), 30.0)
    spectrum *= ((hertz / 1000.0) ** (slope_db / 6.02)).astype(np.float32)
    noise = np.fft.irfft(spectrum, samples).astype(np.float32)
    if swell:
        t = np.arange(samples, dtype=np.float32) / rate
        speed = 2 * np.pi * 10.0 ** rng.uniform(-1.0, 1.0)
        noise *= 1.0 + swell * np.sin(np.float32(speed) * t + np.float32(rng.uniform(0, 6.28)))
    return _unit(noise)


def hum(rng: np.random.Generator, samples: int, rate: int = 16_000) -> Float32:
    """Mains hum or a machine's whine [samples]: harmonics of 25...400 Hz, a little unsteady."""
    base = float(rng.choice([50.0, 60.0, 100.0, 120.0, rng.uniform(25.0, 400.0)]))
    t = np.arange(samples) / rate
    wander = 1.0 + rng.uniform(0, 0.002) * np.sin(2 * np.pi * rng.uniform(0.05, 1.0) * t)
    angle = 2 * np.pi * base * np.cumsum(wander) / rate
    decay = rng.uniform(0.3, 2.0)
    wave = np.zeros(samples)
    for k in range(1, int(rng.integers(2, 20))):
        if k * base < 0.48 * rate:
            level = k**-decay * rng.uniform(0.2, 1.0)
            wave += level * np.sin(k * angle + rng.uniform(0, 2 * np.pi))
    return _unit(wave.astype(np.float32))


def clicks(rng: np.random.Generator, samples: int, rate: int = 16_000) -> Float32:
    """Keys, knocks and crackle [samples]: bursts of decaying noise at random moments."""
    wave = 0.001 * rng.standard_normal(samples, dtype=np.float32)
    rate_per_second = 10.0 ** rng.uniform(0.0, 1.3)
    for start in rng.integers(0, samples, int(rate_per_second * samples / rate)):
        length = min(int(rate * 10.0 ** rng.uniform(-3.0, -1.0)), samples - int(start))
        decay = np.exp(-np.linspace(0.0, 7.0, length, dtype=np.float32))
        burst = rng.standard_normal(length, dtype=np.float32) * decay
        wave[start : start + length] += burst * np.float32(rng.uniform(0.1, 1.0))
    return _unit(wave)


def beeps(rng: np.random.Generator, samples: int, rate: int = 16_000) -> Float32:
    """Telephone and alarm tones [samples]: one or two sines, switched on and off in a rhythm."""
    t = np.arange(samples) / rate
    wave = np.zeros(samples)
    for _ in range(int(rng.integers(1, 3))):
        wave += np.sin(2 * np.pi * rng.uniform(300.0, 3000.0) * t)
    period = rng.uniform(0.15, 4.0)
    duty = rng.uniform(0.2, 0.8)
    wave *= ((t / period) % 1.0) < duty
    wave += 0.001 * rng.standard_normal(samples)
    return _unit(wave.astype(np.float32))


def cries(rng: np.random.Generator, samples: int, rate: int = 16_000) -> Float32:
    """Animals, babies, horns and sirens that don't exist [samples]: the same call, time and again.

    Voiced like speech but without syllables: calls of one glide, in which the throat holds still.
    """
    wave = 0.002 * rng.standard_normal(samples, dtype=np.float32)
    position = int(rng.uniform(0.0, 0.5) * rate)
    base = 10.0 ** rng.uniform(np.log10(90.0), np.log10(2000.0))
    # A low voice that is short would be a vowel of somebody's.
    shortest = 0.5 if base < 350.0 else 0.06
    seconds = shortest * 10.0 ** rng.uniform(0.0, 0.7)
    glide, arch = rng.normal(0.0, 0.35, 2)
    vibrato, roughness = rng.uniform(3.0, 12.0), 10.0 ** rng.uniform(1.0, 1.9)
    wobble, rough = rng.uniform(0.0, 0.06), rng.uniform(0.0, 1.0) * (rng.random() < 0.5)
    throat = 10.0 ** rng.uniform(2.6, 3.6, 2)
    tilt, breath = rng.uniform(0.3, 1.6), rng.uniform(0.0, 0.5) ** 2
    gap = 10.0 ** rng.uniform(-1.3, 0.5)
    while position < samples:
        n = int(seconds * rng.uniform(0.8, 1.25) * rate)
        t = np.arange(n, dtype=np.float32) / rate
        x = t * np.float32(rate / n)
        octaves = glide * (x - 0.5) + 4.0 * arch * x * (1.0 - x)
        octaves += wobble * np.sin(np.float32(2 * np.pi * vibrato) * t)
        pitch = base * rng.uniform(0.95, 1.05) * np.exp2(octaves)
        angle = 2 * np.pi * np.cumsum(pitch, dtype=np.float64) / rate
        call = np.float32(breath) * rng.standard_normal(n, dtype=np.float32)
        for k in range(1, 1 + min(24, int(0.47 * rate / pitch.max()))):
            distance = np.log2(k * pitch.mean() / throat)
            level = k**-tilt * (0.1 + np.exp(-4.0 * distance**2).sum())
            call += np.float32(level) * np.sin(k * angle).astype(np.float32)
        call *= 1.0 - rough * np.float32(0.5) * (1.0 + np.sin(2 * np.pi * roughness * t))
        call *= np.minimum(1.0, 12.0 * x) * (1.0 - x) ** np.float32(0.7)
        end = min(position + n, samples)
        wave[position:end] += call[: end - position]
        position += n + int(gap * rng.uniform(0.7, 1.4) * rate)
    return _unit(wave)


def cry_clips(seed: int, rate: int, count: int = 160) -> tuple[Clip, ...]:
    """A bank of 8-second noises of `cries`, every one of another animal."""
    rng = np.random.default_rng([seed, 72])
    waves = (cries(rng, 8 * rate, rate) for _ in range(count))
    return tuple(Clip(_stored(wave), (), "cries") for wave in waves)


def synthetic_clips(seed: int, rate: int) -> tuple[Clip, ...]:
    """A bank of 20-second noises of every kind above."""
    rng = np.random.default_rng([seed, 71])
    samples = int(_SECONDS * rate)
    waves = [
        coloured_noise(rng, samples, slope, swell, rate)
        for slope in (0.0, -2.0, -3.0, -4.5, -6.0, 2.0)
        for swell in (0.0, 0.8)
    ]
    waves += [hum(rng, samples, rate) for _ in range(8)]
    waves += [clicks(rng, samples, rate) for _ in range(6)]
    waves += [beeps(rng, samples, rate) for _ in range(6)]
    return tuple(Clip(_stored(wave), (), "synthetic") for wave in waves)


def _stored(wave: Float32) -> NDArray[np.int16]:
    """As 16 bits, with peaks of up to four times the RMS left whole."""
    return (wave * (8000.0 / max(1.0, float(np.abs(wave).max()) / 4.0))).astype(np.int16)


def _unit(wave: Float32) -> Float32:
    unit: Float32 = wave / np.float32(max(float(np.sqrt(np.mean(np.square(wave)))), 1e-9))
    return unit
