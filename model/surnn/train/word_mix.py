"""Training clips for keywords: words of single speakers, planted into running audio.

Every clip is drawn by a random generator of its own, from the seed and the clip's number, so a run
gives the same clips whatever the threads do.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from surnn.segments import Segment
from surnn.train import audio_effects as effects
from surnn.train.audio_channel import channel
from surnn.train.config_data import WordMix
from surnn.train.word_items import Item, WordItems, WordSources
from surnn.types import Float32

__all__ = ["Planted", "WordMixer"]

_RMS = 0.1
"""Of words, about: what noise is set against."""


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
        self.items = WordItems(sources, config, rate)
        self.config = config
        self.rate = rate
        self.samples = samples
        self.seed = seed

    def clip(self, number: int) -> Planted:
        """The stream of this number: always the same one."""
        rng = np.random.default_rng([self.seed, number])
        stream = _Stream(self.samples, self.rate, self.config.pause)
        without = rng.random() < self.config.no_word
        stream.wait(rng.uniform(0.0, 0.8))
        while stream.goes_on:
            stream.put(self.items.draw(rng, without=without))
            stream.wait(rng.uniform(0.0, 0.5) if rng.random() < 0.85 else rng.uniform(0.5, 1.5))
        wave = stream.wave
        if rng.random() < self.config.room:
            wave = effects.reverberant(rng, wave, self.rate)
        if rng.random() >= self.config.clean:
            down = 10.0 ** (-rng.uniform(*self.config.snr_db) / 20.0)
            wave = wave + self._noise(rng) * np.float32(_RMS * down)
        mixed = channel(rng, wave, self.config, self.rate)
        return Planted(mixed, stream.words, stream.sounds)

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


class _Stream:
    """A stream that is filled from its start to its end."""

    def __init__(self, samples: int, rate: int, pause: float) -> None:
        self.wave = np.zeros(samples, np.float32)
        self.words: list[Segment] = []
        self.sounds: list[Segment] = []
        self.rate, self.pause, self.seconds = rate, pause, samples / rate
        self.position = 0.0
        self.alone = False
        """Does what was put last want silence behind it?"""

    @property
    def goes_on(self) -> bool:
        return self.position < self.seconds

    def wait(self, seconds: float) -> None:
        self.position += seconds

    def put(self, item: Item) -> None:
        """Behind what was there before; away from it, if either stands alone."""
        before = self.sounds[-1].end if self.sounds else 0.0
        lead = item.segments[0].start if item.segments else 0.0
        if item.alone or self.alone:
            self.position = max(self.position, before + self.pause - lead)
        first = round(max(self.position, 0.0) * self.rate)
        piece = item.samples[: max(0, len(self.wave) - first)]
        self.wave[first : first + len(piece)] += piece
        for s in item.segments:
            start, end = first / self.rate + s.start, first / self.rate + s.end
            if start >= self.seconds:
                break
            # A word that is cut off sounds, but nobody could know what it is.
            self.sounds.append(Segment(start, min(end, self.seconds), "speech"))
            if item.label and end <= self.seconds:
                self.words.append(Segment(start, end, item.label))
        self.position = (first + len(item.samples)) / self.rate
        self.alone = item.alone
