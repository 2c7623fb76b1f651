"""Training clips from labelled recordings: pieces of them, one after another, varied.

Every clip is drawn by a random generator of its own, from the seed and the clip's number, so a run
gives the same clips whatever the threads do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from surnn.dataset.labelled import Labelled, Truth
from surnn.errors import InvalidAudio
from surnn.train import audio_effects as effects
from surnn.train.audio_channel import channel
from surnn.train.config_data import SeriesMix, SoundMix
from surnn.train.recordings import Pool
from surnn.types import Float32

__all__ = ["Reel", "Tape", "load_sound", "vary_series", "vary_sound"]

Vary = Callable[[np.random.Generator, Float32], Float32]


@dataclass(frozen=True, slots=True)
class Reel:
    """One recording in memory."""

    name: str
    samples: NDArray[np.generic]
    """[n, S'] at the model's rate: int16 [n, 1] of audio, float32 [n, channels] of sensors."""
    truth: Truth
    """Of its whole frames."""


class Tape:
    """Draws clips of one length from reels.

    A reel is drawn by one of its labels, each as likely as any other, so that rare labels are
    learnt too; then a moment of that label, so that it is in the clip.
    """

    def __init__(
        self,
        reels: Sequence[Reel],
        *,
        hop: int,
        frames: int,
        seed: int,
        vary: Vary,
        pause: float = 0.0,
        nothing: Truth | None = None,
    ) -> None:
        """Take recordings.

        Args:
            reels: at least one.
            hop: samples a frame.
            frames: length of a clip.
            seed: of all clips.
            vary: what happens to a clip at the end.
            pause: how often silence comes between two recordings.
            nothing: what is true in one frame of it.
        """
        self.reels = reels
        self.hop = hop
        self.frames = frames
        self.seed = seed
        self.vary = vary
        self.pause = pause if nothing is not None else 0.0
        self.nothing = nothing
        holds = [np.asarray(r.truth.labels.any(axis=0), np.bool_) for r in reels]
        count = reels[0].truth.labels.shape[1]
        by_label = [[i for i, h in enumerate(holds) if h[c]] for c in range(count)]
        self._by_label = [found for found in by_label if found]
        self._columns = [c for c, found in enumerate(by_label) if found]
        quiet = [i for i, h in enumerate(holds) if not h.any()]
        if quiet:
            self._by_label.append(quiet)
            self._columns.append(-1)

    def clip(self, number: int) -> tuple[Float32, Truth]:
        """The clip of this number: samples [frames * hop, S'] and what is true in its frames."""
        rng = np.random.default_rng([self.seed, number])
        samples: list[Float32] = []
        labels: list[NDArray[np.bool_]] = []
        known: list[NDArray[np.bool_]] = []
        missing = self.frames
        while missing > 0:
            reel, start = self._moment(rng)
            count = min(missing, len(reel.truth.known) - start)
            piece = reel.samples[start * self.hop : (start + count) * self.hop]
            wave = piece.astype(np.float32)
            if piece.dtype == np.int16:
                wave /= 32768.0
            samples.append(wave)
            labels.append(reel.truth.labels[start : start + count])
            known.append(reel.truth.known[start : start + count])
            missing -= count
            if missing > 0 and self.nothing is not None and rng.random() < self.pause:
                count = min(missing, int(rng.integers(1, max(2, self.frames // 3))))
                samples.append(np.zeros((count * self.hop, wave.shape[1]), np.float32))
                labels.append(self.nothing.labels.repeat(count, axis=0))
                known.append(self.nothing.known.repeat(count))
                missing -= count
        truth = Truth(np.concatenate(labels), np.concatenate(known))
        return self.vary(rng, np.concatenate(samples)), truth

    def _moment(self, rng: np.random.Generator) -> tuple[Reel, int]:
        """A reel, and the frame to start from: one before a frame of the label, or any."""
        group = int(rng.integers(len(self._by_label)))
        chosen = self._by_label[group]
        reel, column = self.reels[chosen[int(rng.integers(len(chosen)))]], self._columns[group]
        frames = len(reel.truth.known)
        if column < 0 or rng.random() < 0.3:
            return reel, int(rng.integers(frames)) if frames > self.frames else 0
        held = np.flatnonzero(reel.truth.labels[:, column])
        at = int(held[int(rng.integers(len(held)))])
        before = int(rng.integers(self.frames))
        return reel, max(0, min(at - before, frames - 1))


def load_sound(recording: Labelled, rate: int) -> NDArray[np.int16]:
    """Samples [n, 1] of an audio file at `rate`, channels averaged. Raises `InvalidAudio`."""
    try:
        samples, found = soundfile.read(recording.path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InvalidAudio(f"{recording.path}: not readable as audio: {error}") from None
    mono = samples.mean(axis=1)
    if found != rate:
        mono = soxr.resample(mono, found, rate)
    whole: NDArray[np.int16] = np.clip(np.round(mono * 32768.0), -32768, 32767).astype(np.int16)
    return whole[:, None]


def vary_sound(config: SoundMix, noise: Pool, rate: int) -> Vary:
    """Another room, noise behind, another microphone and level."""

    def vary(rng: np.random.Generator, samples: Float32) -> Float32:
        wave = samples[:, 0]
        if rng.random() < config.room:
            wave = effects.reverberant(rng, wave, rate)
        if rng.random() < config.noise:
            clip = noise.draw(rng).samples.astype(np.float32)
            clip = np.tile(clip, -(-len(wave) // len(clip)))[: len(wave)]
            level = float(np.sqrt(np.mean(np.square(wave)))) or 0.01
            down = 10.0 ** (-rng.uniform(*config.snr_db) / 20.0)
            size = max(float(np.sqrt(np.mean(np.square(clip)))), 1e-6)
            wave = wave + clip * np.float32(level * down / size)
        return channel(rng, wave, config, rate)[:, None]

    return vary


def vary_series(config: SeriesMix, deviation: Float32) -> Vary:
    """Stronger or weaker movements around the mean, and noise; `deviation` of each channel."""

    def vary(rng: np.random.Generator, samples: Float32) -> Float32:
        mean = samples.mean(axis=0)
        out = (samples - mean) * np.float32(rng.uniform(*config.gain)) + mean
        noise = rng.standard_normal(out.shape, dtype=np.float32) * deviation
        result: Float32 = out + np.float32(rng.uniform(0.0, config.noise)) * noise
        return result

    return vary
