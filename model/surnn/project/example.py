"""Made-up recordings to try a project with: sounds in five places, movements of six people."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import soundfile

from surnn.types import Float32

__all__ = ["SOUNDS", "STATES", "write_example"]

SOUNDS = ("beep", "knock", "whistle")
STATES = ("rest", "walk", "jump")
_RATE, _SENSOR_RATE = 16_000, 50
_PLACES = ("attic", "cellar", "garden", "hall", "kitchen", "yard")
_PEOPLE = ("ada", "ben", "cem", "dia", "eva", "fay")


def write_example(folder: Path, *, sensor: bool, seconds: float = 40.0) -> None:
    """Fill a folder with six labelled recordings of so many seconds each, always the same ones."""
    folder.mkdir(parents=True, exist_ok=True)
    (_movements if sensor else _sounds)(folder, seconds)


def _sounds(folder: Path, seconds: float) -> None:
    rows: list[Sequence[object]] = []
    for number, place in enumerate(_PLACES):
        rng = np.random.default_rng([7, number])
        wave = _hiss(rng, round(seconds * _RATE))
        at = rng.uniform(0.3, 1.2)
        first = rng.permutation(len(SOUNDS)).tolist()  # every place has every sound
        while True:
            label = SOUNDS[first.pop() if first else int(rng.integers(len(SOUNDS)))]
            sound = _sound(rng, label)
            length = len(sound) / _RATE
            if at + length > seconds - 0.2:
                break
            begin = round(at * _RATE)
            wave[begin : begin + len(sound)] += sound
            rows.append((f"{place}.flac", f"{at:.3f}", f"{at + length:.3f}", label, place))
            at += length + rng.uniform(0.4, 2.5)
        soundfile.write(folder / f"{place}.flac", np.clip(wave, -1, 1), _RATE)
    _table(folder / "segments.csv", ("file", "start", "end", "label", "place"), rows)


def _hiss(rng: np.random.Generator, samples: int) -> Float32:
    """Each place has its own colour and level of noise."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    hertz = np.fft.rfftfreq(samples, 1.0 / _RATE)
    spectrum *= (np.maximum(hertz, 50.0) / 1000.0) ** rng.uniform(-1.0, 0.0)
    noise = np.fft.irfft(spectrum, samples)
    level = 10.0 ** (rng.uniform(-55.0, -40.0) / 20.0)
    return np.asarray(level * noise / noise.std(), np.float32)


def _sound(rng: np.random.Generator, label: str) -> Float32:
    level = 10.0 ** (rng.uniform(-28.0, -14.0) / 20.0)
    if label == "knock":
        out = np.zeros(round(0.5 * _RATE))
        for i in range(3):
            t = np.arange(round(0.06 * _RATE)) / _RATE
            hit = rng.standard_normal(len(t)) * np.exp(-t * rng.uniform(60, 120))
            first = round((0.02 + 0.16 * i) * _RATE)
            out[first : first + len(hit)] += 2.0 * hit
        return np.asarray(level * out, np.float32)
    length = rng.uniform(0.3, 0.8)
    t = np.arange(round(length * _RATE)) / _RATE
    low = rng.uniform(900.0, 1400.0)
    if label == "whistle":  # glides up an octave
        hertz = low * 2.0 ** (t / length)
    else:  # two tones in turn
        hertz = np.where((t * 10).astype(int) % 2 == 0, low, 1.5 * low)
    fade = np.minimum(1.0, np.minimum(t, length - t) / 0.02)
    return np.asarray(level * fade * np.sin(2 * np.pi * np.cumsum(hertz) / _RATE), np.float32)


def _movements(folder: Path, seconds: float) -> None:
    for number, person in enumerate(_PEOPLE):
        rng = np.random.default_rng([8, number])
        pace, strength = rng.uniform(1.6, 2.2), rng.uniform(0.8, 1.2)
        rows: list[Sequence[object]] = []
        at, state = 0.0, 0
        until = rng.uniform(2.0, 5.0)
        while at < seconds:
            if at >= until:
                state = int((state + rng.integers(1, 3)) % 3)
                until = at + rng.uniform(2.0, 5.0)
            turn = 2 * np.pi * pace * at * (1.0 if state == 1 else 1.4)
            size = strength * (0.0, 2.0, 6.0)[state]
            swing = (0.4 * np.sin(turn), 0.3 * np.cos(turn), np.sin(2 * turn))
            x, y, z = rng.normal(0.0, 0.3, 3) + size * np.array(swing) + (0.0, 0.0, 9.81)
            rows.append((f"{at:.3f}", f"{x:.3f}", f"{y:.3f}", f"{z:.3f}", STATES[state], person))
            at += (1.0 + rng.uniform(-0.1, 0.1)) / _SENSOR_RATE
        _table(folder / f"{person}.csv", ("time", "x", "y", "z", "label", "person"), rows)


def _table(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
