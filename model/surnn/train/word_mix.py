"""Training clips for keywords: words of single speakers, planted into running audio.

Every clip is drawn by a random generator of its own, from the seed and the clip's number, so a run
gives the same clips whatever the threads do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from surnn.segments import Segment
from surnn.train import audio_effects as effects
from surnn.train.audio_channel import channel
from surnn.train.config import WordMix
from surnn.train.recordings import Clip, Pool
from surnn.types import Float32

__all__ = ["Planted", "WordMixer", "WordSources"]

_ACTIVE_RMS = 0.1


@dataclass(frozen=True, slots=True)
class WordSources:
    """Where clips come from."""

    words: dict[str, tuple[Clip, ...]]
    """By label."""
    others: tuple[Clip, ...]
    """Words that are no label."""
    speech: Pool
    noise: Pool
    music: Pool
    synthetic: Pool


@dataclass(frozen=True, slots=True)
class Planted:
    """One stream, and where its words are."""

    samples: Float32
    """[T * hop]"""
    words: list[Segment]
    """Labels, in seconds."""
    sounds: list[Segment] = field(default_factory=list)
    """Everything that is spoken, words that are no label too."""
    group: str = ""


class WordMixer:
    """Draws streams of one length."""

    def __init__(
        self, sources: WordSources, config: WordMix, *, rate: int, samples: int, seed: int
    ) -> None:
        self.sources = sources
        self.config = config
        self.rate = rate
        self.samples = samples
        self.seed = seed
        self._labels = [label for label, clips in sources.words.items() if clips]
        self._people = {label: _by_speaker(sources.words[label]) for label in self._labels}

    def clip(self, number: int) -> Planted:
        """The stream of this number: always the same one."""
        rng = np.random.default_rng([self.seed, number])
        wave = np.zeros(self.samples, np.float32)
        words: list[Segment] = []
        sounds: list[Segment] = []
        without = rng.random() < self.config.no_word
        position = int(rng.uniform(0.0, 0.8) * self.rate)
        while position < self.samples:
            label, piece, segments = self._item(rng, without)
            end = min(position + len(piece), self.samples)
            wave[position:end] += piece[: end - position]
            for s in segments:
                start, stop = position / self.rate + s.start, position / self.rate + s.end
                if stop <= self.samples / self.rate:
                    sounds.append(Segment(start, stop, "speech"))
                    if label:
                        words.append(Segment(start, stop, label))
                elif start < self.samples / self.rate:
                    # A word that is cut off: something sounds, but nobody could know what.
                    sounds.append(Segment(start, self.samples / self.rate, "speech"))
            position += len(piece) + self._gap(rng)
        if rng.random() < self.config.room:
            wave = effects.reverberant(rng, wave, self.rate)
        if rng.random() >= self.config.clean:
            down = 10.0 ** (-rng.uniform(*self.config.snr_db) / 20.0)
            wave = wave + self._noise(rng) * np.float32(_ACTIVE_RMS * down)
        return Planted(channel(rng, wave, self.config, self.rate), words, sounds)

    def _item(
        self, rng: np.random.Generator, without: bool
    ) -> tuple[str, Float32, Sequence[Segment]]:
        """A label (or ""), samples at an active level of 0.1, and where in them is speech."""
        sources, config = self.sources, self.config
        kind = rng.random()
        if sources.speech and (kind < config.speech or (without and kind < 0.75)):
            clip = _excerpt(rng, sources.speech.draw(rng), self.rate)
            label = ""
        elif sources.others and (without or kind < config.speech + config.other_word):
            clip, label = sources.others[int(rng.integers(len(sources.others)))], ""
        elif without or not self._labels:
            clip, label = Clip(np.zeros(self.rate // 2, np.int16)), ""
        else:
            label = self._labels[int(rng.integers(len(self._labels)))]
            clip = self._word(rng, label)
        wave = clip.samples.astype(np.float32)
        if label and rng.random() < config.masking:
            wave = effects.filtered(wave, _hole(rng, len(wave), self.rate))
        segments: Sequence[Segment] = clip.segments
        if rng.random() < config.tempo:
            factor = rng.uniform(0.82, 1.2)
            wave = effects.stretched(wave, factor)
            segments = [Segment(s.start * factor, s.end * factor, s.label) for s in segments]
        active = [wave[int(s.start * self.rate) : int(s.end * self.rate)] for s in segments]
        power = sum(float(np.dot(a, a)) for a in active) / max(1, sum(len(a) for a in active))
        gain = _ACTIVE_RMS * 10.0 ** (rng.uniform(-4.0, 4.0) / 20.0) / max(np.sqrt(power), 1.0)
        if label and segments:  # the parts of one word are one word
            segments = [Segment(segments[0].start, segments[-1].end, label)]
        return label, wave * np.float32(gain), segments

    def _word(self, rng: np.random.Generator, label: str) -> Clip:
        """A clip of this word: first a speaker, so that one who said it often is not all of it.

        Speakers with more clips come up more often, by the square root of their number.
        """
        people, shares = self._people[label]
        clips = people[int(np.searchsorted(shares, rng.random(), side="right"))]
        return clips[int(rng.integers(len(clips)))]

    def _gap(self, rng: np.random.Generator) -> int:
        seconds = rng.uniform(0.0, 0.8) if rng.random() < 0.7 else rng.uniform(0.8, 2.5)
        return int(seconds * self.rate)

    def _noise(self, rng: np.random.Generator) -> Float32:
        """RMS 1."""
        kind, sources, config = rng.random(), self.sources, self.config
        pool = sources.noise
        if sources.music and kind < config.music:
            pool = sources.music
        elif not pool or (sources.synthetic and kind < config.music + config.synthetic_noise):
            pool = sources.synthetic
        clip = pool.draw(rng).samples
        if len(clip) < self.samples:
            clip = np.tile(clip, -(-self.samples // len(clip)) + 1)
        start = int(rng.integers(len(clip) - self.samples + 1))
        noise = clip[start : start + self.samples].astype(np.float32)
        return noise / np.float32(max(float(np.sqrt(np.mean(np.square(noise)))), 1e-6))


def _by_speaker(clips: Sequence[Clip]) -> tuple[list[list[Clip]], NDArray[np.float64]]:
    """Clips of each speaker, and the sums of how often each speaker is drawn."""
    people: dict[str, list[Clip]] = {}
    for i, clip in enumerate(clips):
        people.setdefault(clip.speaker or f"#{i}", []).append(clip)
    often = np.sqrt([len(found) for found in people.values()])
    shares: NDArray[np.float64] = np.cumsum(often) / often.sum()
    shares[-1] = 1.0
    return list(people.values()), shares


def _hole(rng: np.random.Generator, n: int, rate: int) -> Float32:
    """A response [n // 2 + 1] that lacks a band of half an octave to an octave and a half."""
    low = float(np.exp(rng.uniform(np.log(150.0), np.log(5000.0))))
    high = low * 2.0 ** rng.uniform(0.3, 1.2)
    kept: Float32 = 1.0 - effects.band_response(n, rate, low, min(high, 0.49 * rate))
    return kept


def _excerpt(rng: np.random.Generator, clip: Clip, rate: int) -> Clip:
    """A piece of 0.5 to 3 s of running speech."""
    length = int(rng.uniform(0.5, 3.0) * rate)
    if len(clip.samples) <= length:
        return clip
    start = int(rng.integers(len(clip.samples) - length))
    left, right = start / rate, (start + length) / rate
    inside = tuple(
        Segment(max(s.start, left) - left, min(s.end, right) - left, s.label)
        for s in clip.segments
        if s.end > left and s.start < right
    )
    return Clip(clip.samples[start : start + length], inside, clip.name)
