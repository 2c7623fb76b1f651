"""Training clips for voice activity: speech with pauses, in noise, through all kinds of channels.

Every clip is drawn by a random generator of its own, from the seed and the clip's number, so a run
gives the same clips whatever the threads do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surnn.segments import Segment, frame_labels
from surnn.train import audio_effects as effects
from surnn.train.audio_channel import channel
from surnn.train.config_data import MixConfig
from surnn.train.recordings import Pool
from surnn.types import Float32

__all__ = ["Mixed", "Mixer", "Sources", "held_out_mix"]

Bools = NDArray[np.bool_]
_ACTIVE_RMS = 0.1


@dataclass(frozen=True, slots=True)
class Sources:
    """Where clips come from. Noise of formulas is one of the pools."""

    speech: Pool
    noise: Pool
    music: Pool
    synthetic: Pool


@dataclass(frozen=True, slots=True)
class Mixed:
    """One clip ready for training or validation."""

    samples: Float32
    """[T * hop]"""
    labels: Bools
    """Speech in each frame [T]."""
    snr: float | None
    """dB over the speech; None where there is no speech or no noise."""
    segments: list[Segment] = field(default_factory=list)


def held_out_mix(snr: float | None, **changes: float) -> MixConfig:
    """Settings of recordings to measure on: of the augmentation only what is asked for.

    Args:
        snr: dB; None for speech without noise.
        changes: fields of `MixConfig`.
    """
    plain: dict[str, Any] = {
        "snr_db": (snr or 0.0, snr or 0.0),
        "no_speech": 0.0,
        "clean": 1.0 if snr is None else 0.0,
        "music": 0.0,
        "synthetic_noise": 0.0,
        "second_noise": 0.0,
        "room": 0.0,
        "equaliser": 0.0,
        "tempo": 0.0,
        "peak_db": (-20.0, -1.0),
        "clipping": 0.0,
        "offset": 0.0,
        "telephone": 0.0,
        "low_rate": 0.0,
        "drop_out": 0.0,
    }
    return MixConfig(**(plain | changes))


class Mixer:
    """Draws clips of one length from sources."""

    def __init__(
        self, sources: Sources, config: MixConfig, *, rate: int, hop: int, frames: int, seed: int
    ) -> None:
        self.sources = sources
        self.config = config
        self.rate = rate
        self.hop = hop
        self.frames = frames
        self.samples = frames * hop
        self.seed = seed

    def clip(self, number: int) -> Mixed:
        """The clip of this number: always the same one."""
        rng = np.random.default_rng([self.seed, number])
        config = self.config
        speech = np.zeros(self.samples, np.float32)
        segments: list[Segment] = []
        if rng.random() >= config.no_speech:
            speech, segments = self._speech(rng)
            if rng.random() < config.room:
                speech = effects.reverberant(rng, speech, self.rate)
        snr = rng.uniform(*config.snr_db)
        clean = rng.random() < config.clean
        noise = None if clean else self._noise(rng)
        mix = _at_snr(speech, segments, noise, snr, self.rate)
        mix = channel(rng, mix, config, self.rate)
        if rng.random() < config.drop_out:
            segments = self._drop_out(rng, mix, segments)
        labels = frame_labels(segments, "speech", self.frames, self.rate / self.hop)
        return Mixed(mix, labels, snr if segments and noise is not None else None, segments)

    def _speech(self, rng: np.random.Generator) -> tuple[Float32, list[Segment]]:
        """Clips with pauses between them: samples and where there is speech."""
        out = np.zeros(self.samples, np.float32)
        segments: list[Segment] = []
        tempo = rng.uniform(0.85, 1.18) if rng.random() < self.config.tempo else 1.0
        # Some streams begin in the middle of a clip, some in a long pause.
        position = (
            -int(rng.uniform(0.0, 3.0) * self.rate) if rng.random() < 0.4 else self._pause(rng)
        )
        crowded = rng.random() < 0.5
        while position < self.samples:
            clip = self.sources.speech.draw(rng)
            piece = clip.samples.astype(np.float32)
            if tempo != 1.0:
                piece = effects.stretched(piece, tempo)
            start, end = max(position, 0), min(position + len(piece), self.samples)
            if end > start:
                piece = piece[start - position : end - position]
                piece *= _gain(rng, 3.0) / _active_rms(
                    piece, clip.segments, tempo, position, self.rate
                )
                out[start:end] += piece
                segments += _moved(
                    clip.segments, tempo, position / self.rate, start, end, self.rate
                )
            position += int(tempo * len(clip.samples))
            position += self._pause(rng) if not crowded else int(rng.uniform(0, 0.4) * self.rate)
        return out, segments

    def _pause(self, rng: np.random.Generator) -> int:
        kind = rng.random()
        if kind < 0.4:
            seconds = rng.uniform(0.1, 0.8)
        elif kind < 0.8:
            seconds = rng.uniform(0.5, 2.5)
        else:
            seconds = rng.uniform(2.0, 5.0)
        return int(seconds * self.rate)

    def _noise(self, rng: np.random.Generator) -> Float32:
        """One or two sources, sometimes with a step in level: RMS 1."""
        noise = self._one_noise(rng)
        if rng.random() < self.config.second_noise:
            noise += _gain(rng, 8.0) * self._one_noise(rng)
        if rng.random() < 0.15:
            step = int(rng.integers(self.samples))
            noise[step:] *= _gain(rng, 12.0)
        return noise / np.float32(_rms(noise))

    def _one_noise(self, rng: np.random.Generator) -> Float32:
        config, sources = self.config, self.sources
        kind = rng.random()
        if kind < config.music and sources.music:
            pool = sources.music
        elif kind < config.music + config.synthetic_noise and sources.synthetic:
            pool = sources.synthetic
        else:
            pool = sources.noise
        clip = pool.draw(rng).samples
        pace = 1.0
        varied = config.noise_variation > 0 and rng.random() < config.noise_variation
        if varied:
            pace = float(np.exp(rng.uniform(-config.noise_pace, config.noise_pace)))
        length = int(self.samples / pace) + 2 if varied else self.samples
        if len(clip) < length:
            clip = np.tile(clip, -(-length // len(clip)) + 1)
        start = int(rng.integers(len(clip) - length + 1))
        wave = clip[start : start + length].astype(np.float32)
        if varied:
            wave = self._varied(rng, wave, pace)
        return wave / np.float32(_rms(wave))

    def _varied(self, rng: np.random.Generator, wave: Float32, pace: float) -> Float32:
        """A noise that is not in the collection: other pace, perhaps backwards, other colour."""
        wave = effects.stretched(wave, pace)[: self.samples]
        if rng.random() < 0.4:
            wave = wave[::-1]
        if rng.random() < 0.6:
            response = effects.equaliser_response(rng, self.samples, self.rate, 12.0)
            wave = effects.filtered(wave, response)
        if self.config.noise_gusts and rng.random() < self.config.noise_gusts:
            wave = effects.gusty(rng, wave, self.rate)
        return wave

    def _drop_out(
        self, rng: np.random.Generator, mix: Float32, segments: list[Segment]
    ) -> list[Segment]:
        """Digital silence for a while, as from a muted microphone; no speech there."""
        start = int(rng.integers(self.samples))
        end = min(self.samples, start + int(rng.uniform(0.3, 4.0) * self.rate))
        mix[start:end] = 0.0
        left, right = start / self.rate, end / self.rate
        kept = []
        for s in segments:
            if s.start < left:
                kept.append(Segment(s.start, min(s.end, left), s.label))
            if s.end > right:
                kept.append(Segment(max(s.start, right), s.end, s.label))
        return kept


def _at_snr(
    speech: Float32, segments: list[Segment], noise: Float32 | None, snr: float, rate: int
) -> Float32:
    """Speech at its level over the active samples, noise (RMS 1) `snr` dB below."""
    if segments:
        active = [speech[int(s.start * rate) : int(s.end * rate)] for s in segments]
        power = sum(float(np.dot(a, a)) for a in active) / max(1, sum(len(a) for a in active))
        speech = speech * np.float32(_ACTIVE_RMS / max(np.sqrt(power), 1e-6))
    if noise is None:
        return speech
    return speech + noise * np.float32(_ACTIVE_RMS * 10.0 ** (-snr / 20.0))


def _moved(
    segments: tuple[Segment, ...], tempo: float, offset: float, start: int, end: int, rate: int
) -> list[Segment]:
    """A clip's segments on the stream's clock, cut to the samples start...end."""
    low, high = start / rate, end / rate
    spans = (
        (max(s.start * tempo + offset, low), min(s.end * tempo + offset, high)) for s in segments
    )
    return [Segment(a, b, "speech") for a, b in spans if b > a]


def _active_rms(
    piece: Float32, segments: tuple[Segment, ...], tempo: float, position: int, rate: int
) -> np.float32:
    """Level of a piece that starts `position` samples into the stream, where it is speech."""
    skipped = max(-position, 0)
    power, count = 0.0, 0
    for s in segments:
        first, last = (max(int(t * tempo * rate) - skipped, 0) for t in (s.start, s.end))
        a = piece[first:last]
        power += float(np.dot(a, a))
        count += len(a)
    return np.float32(max(np.sqrt(power / count) if count else _rms(piece), 1.0))


def _rms(wave: Float32) -> float:
    return max(float(np.sqrt(np.dot(wave, wave) / max(len(wave), 1))), 1e-6)


def _gain(rng: np.random.Generator, spread_db: float) -> np.float32:
    return np.float32(10.0 ** (rng.uniform(-spread_db, spread_db) / 20.0))
