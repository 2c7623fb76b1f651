"""What is put into a stream of training for keywords: words, and what must not be taken for one.

A network that has only heard the words of its list, and other people's sentences, names anything
that is short and stands alone. So pieces of sentences, noises, and words that are cut off, turned
round or spoken over one another are put where words are put.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from surnn.segments import Segment
from surnn.train import audio_effects as effects
from surnn.train.config_data import WordMix
from surnn.train.recordings import Clip, Pool
from surnn.types import Float32

__all__ = ["Item", "WordItems", "WordSources"]

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
class Item:
    """A sound to be put into a stream."""

    samples: Float32
    """At an active level of 0.1, about."""
    segments: tuple[Segment, ...] = ()
    """Where in it something sounds, in seconds; of a word, one segment with its label."""
    label: str = ""
    alone: bool = False
    """Is there silence around it?"""


@dataclass(slots=True)
class WordItems:
    """Draws items, as often of each kind as the config says."""

    sources: WordSources
    config: WordMix
    rate: int
    labels: list[str] = field(init=False)
    _people: dict[str, tuple[list[list[Clip]], NDArray[np.float64]]] = field(init=False)
    _kinds: list[tuple[float, Callable[[np.random.Generator], Item]]] = field(init=False)

    def __post_init__(self) -> None:
        sources, config = self.sources, self.config
        self.labels = [label for label, clips in sources.words.items() if clips]
        self._people = {label: _by_speaker(sources.words[label]) for label in self.labels}
        self._kinds = [
            (share, draw)
            for share, draw, there in (
                (config.speech, self.speech, sources.speech),
                (config.piece, self.piece, sources.speech),
                (config.other_word, self.other_word, sources.others),
                (config.impostor, self.impostor, self.labels),
                (config.burst, self.burst, sources.noise),
            )
            if there
        ]

    def draw(self, rng: np.random.Generator, *, without: bool) -> Item:
        """Some item; `without`: none that is a word of the list."""
        total = sum(share for share, _ in self._kinds)
        place = rng.random() * (total if without or not self.labels else 1.0)
        for share, draw in self._kinds:
            place -= share
            if place < 0.0:
                return draw(rng)
        if without or not self.labels:
            return Item(np.zeros(self.rate // 2, np.float32))
        return self.word(rng, self.labels[int(rng.integers(len(self.labels)))])

    def word(self, rng: np.random.Generator, label: str) -> Item:
        """A word of the list, with more or less of the silence around it."""
        wave, segments = self._spoken(rng, _cropped(rng, self._clip(rng, label), self.rate))
        whole = Segment(segments[0].start, segments[-1].end, label)
        return Item(wave, (whole,), label, alone=True)

    def other_word(self, rng: np.random.Generator) -> Item:
        """A word that is not on the list."""
        others = self.sources.others
        clip = others[int(rng.integers(len(others)))]
        wave, segments = self._spoken(rng, _cropped(rng, clip, self.rate))
        return Item(wave, tuple(segments), alone=rng.random() < 0.5)

    def speech(self, rng: np.random.Generator) -> Item:
        """Half a second to two of running speech."""
        clip = _excerpt(rng, self.sources.speech.draw(rng), rng.uniform(0.5, 2.0), self.rate)
        wave, segments = self._spoken(rng, clip)
        return Item(wave, tuple(segments))

    def piece(self, rng: np.random.Generator) -> Item:
        """As much of running speech as a word is long, cut where it is quiet."""
        clip = self.sources.speech.draw(rng)
        clip = _excerpt(rng, clip, rng.uniform(0.35, 1.1), self.rate)
        samples = clip.samples.astype(np.float32)
        first, last = _quiet_ends(samples, self.rate)
        wave = effects.faded(samples[first:last], self.rate)
        return self._sounding(rng, wave)

    def impostor(self, rng: np.random.Generator) -> Item:
        """A word of the list that is none: its start, its end, turned round, or two at once."""
        first = self._core(rng)
        kind = rng.integers(4)
        if kind == 0:
            wave = first[: int(rng.uniform(0.25, 0.45) * len(first))]
        elif kind == 1:
            wave = first[int(rng.uniform(0.5, 0.75) * len(first)) :]
        elif kind == 2:
            wave = first[::-1]
        else:
            second = self._core(rng)
            at = int(rng.uniform(0.2, 0.7) * len(first))
            wave = np.zeros(max(len(first), at + len(second)), np.float32)
            wave[: len(first)] += first / max(float(np.abs(first).max()), 1.0)
            wave[at : at + len(second)] += second / max(float(np.abs(second).max()), 1.0)
            wave *= 3000.0
        return self._sounding(rng, effects.faded(wave, self.rate))

    def burst(self, rng: np.random.Generator) -> Item:
        """A moment of noise, as loud as a word."""
        clip = self.sources.noise.draw(rng)
        length = min(int(rng.uniform(0.1, 0.9) * self.rate), len(clip.samples))
        start = int(rng.integers(len(clip.samples) - length + 1))
        wave = clip.samples[start : start + length].astype(np.float32)
        item = self._sounding(rng, effects.faded(wave, self.rate))
        return Item(item.samples, alone=True)  # nobody speaks: switches may stay shut

    def _clip(self, rng: np.random.Generator, label: str) -> Clip:
        """A clip of this word: first a speaker, so that one who said it often is not all of it.

        Speakers with more clips come up more often, by the square root of their number.
        """
        people, shares = self._people[label]
        clips = people[int(np.searchsorted(shares, rng.random(), side="right"))]
        return clips[int(rng.integers(len(clips)))]

    def _core(self, rng: np.random.Generator) -> Float32:
        """Of some word of the list what sounds."""
        clip = self._clip(rng, self.labels[int(rng.integers(len(self.labels)))])
        first = int(clip.segments[0].start * self.rate)
        last = int(clip.segments[-1].end * self.rate)
        return clip.samples[first:last].astype(np.float32)

    def _spoken(self, rng: np.random.Generator, clip: Clip) -> tuple[Float32, list[Segment]]:
        """A clip by another voice, at another pace and level, and where in it is speech."""
        config = self.config
        wave = clip.samples.astype(np.float32)
        wave = np.pad(wave, (0, -len(wave) % 1000))  # FFTs of other lengths are slow
        segments = list(clip.segments)
        if clip.word and rng.random() < config.masking:
            wave = effects.filtered(wave, _hole(rng, len(wave), self.rate))
        if rng.random() < config.vocal_tract:
            wave = effects.other_mouth(wave, rng.uniform(0.84, 1.18))
        if rng.random() < config.tempo:
            factor = rng.uniform(0.8, 1.25)
            wave = effects.stretched(wave, factor)
            segments = [Segment(s.start * factor, s.end * factor, s.label) for s in segments]
        active = [wave[int(s.start * self.rate) : int(s.end * self.rate)] for s in segments]
        power = sum(float(np.dot(a, a)) for a in active) / max(1, sum(len(a) for a in active))
        wave = wave * np.float32(_level(rng) / max(np.sqrt(power), 1.0))
        if clip.word and rng.random() < config.gap:
            inside = rng.uniform(segments[0].start, segments[-1].end)
            first = int(inside * self.rate)
            wave[first : first + int(rng.uniform(0.02, 0.07) * self.rate)] *= np.float32(0.05)
        return wave, segments

    def _sounding(self, rng: np.random.Generator, wave: Float32) -> Item:
        """All of this sounds, and stands alone."""
        seconds = len(wave) / self.rate
        clip = Clip(wave.astype(np.int16), (Segment(0.0, seconds, "speech"),))
        spoken, segments = self._spoken(rng, clip)
        return Item(spoken, tuple(segments), alone=True)


def _level(rng: np.random.Generator) -> float:
    return float(_ACTIVE_RMS * 10.0 ** (rng.uniform(-4.0, 4.0) / 20.0))


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


def _cropped(rng: np.random.Generator, clip: Clip, rate: int) -> Clip:
    """A word with up to half a second of its recording on each side: its noise must not tell."""
    start, end = clip.segments[0].start, clip.segments[-1].end
    first = max(0, int((start - rng.uniform(0.02, 0.5)) * rate))
    last = min(len(clip.samples), int((end + rng.uniform(0.02, 0.5)) * rate))
    wave = clip.samples[first:last].astype(np.float32)
    samples = effects.faded(wave, rate).astype(np.int16)
    inside = Segment(start - first / rate, end - first / rate, "speech")
    return Clip(samples, (inside,), word=clip.word or "?")


def _excerpt(rng: np.random.Generator, clip: Clip, seconds: float, rate: int) -> Clip:
    """So many seconds of running speech."""
    length = int(seconds * rate)
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


def _quiet_ends(samples: Float32, rate: int) -> tuple[int, int]:
    """The quietest moments [samples] of the first and of the last third."""
    hop = rate // 100
    count = len(samples) // hop
    if count < 9:
        return 0, len(samples)
    energy = np.square(samples[: count * hop]).reshape(count, hop).sum(axis=1)
    third = count // 3
    first = int(energy[:third].argmin())
    last = count - third + int(energy[count - third :].argmin())
    return first * hop, (last + 1) * hop
