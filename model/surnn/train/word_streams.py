"""Streams to measure keywords on: every held-out word by itself, and long material without any."""

from __future__ import annotations

import numpy as np

from surnn.segments import Segment
from surnn.spec import ModelSpec
from surnn.train.recordings import Clip, Pool
from surnn.train.word_items import WordSources
from surnn.train.word_mix import Planted

__all__ = ["SEEDS", "held_out_streams"]

SEEDS = {"valid": 30_000, "test": 30_001}
_LEAD, _TAIL = 0.6, 0.7
"""Seconds around a word of which its stream is made."""
_SNRS = (None, 10.0)
_SECONDS = 20.0
"""Length of streams without words."""


def held_out_streams(sources: WordSources, spec: ModelSpec, seed: int) -> list[Planted]:
    """Every held-out word by itself, quiet and in noise; then long material without words."""
    rng = np.random.default_rng(seed)
    streams: list[Planted] = []
    clips = [(label, c) for label, found in sources.words.items() for c in found]
    clips += [("", c) for c in sources.others]
    for snr in _SNRS:
        if snr is not None and not sources.noise:
            continue
        where = "" if snr is None else f" in noise, {snr:g} dB"
        streams += [
            _alone(rng, label, c, sources.noise, snr, f"words of {c.folder}{where}", spec)
            for label, c in clips
        ]
    for name, pool in (
        ("speech", sources.speech),
        ("noise", sources.noise),
        ("music", sources.music),
    ):
        for pieces in pool.sets:
            whole = np.concatenate([c.samples for c in pieces]).astype(np.float32) / 32768.0
            size = int(_SECONDS * spec.sample_rate)
            for first in range(0, len(whole) - size // 4, size):
                piece = whole[first : first + size]
                piece = piece * np.float32(0.3 / max(float(np.abs(piece).max()), 1e-4))
                streams.append(Planted(piece, [], [], f"{name} without words"))
    return streams


def _alone(
    rng: np.random.Generator,
    label: str,
    clip: Clip,
    noise: Pool,
    snr: float | None,
    group: str,
    spec: ModelSpec,
) -> Planted:
    """One word with a moment before and behind it."""
    rate = spec.sample_rate
    word = clip.samples.astype(np.float32) / 32768.0
    lead, tail = int(_LEAD * rate), int(_TAIL * rate)
    wave = np.concatenate([np.zeros(lead, np.float32), word, np.zeros(tail, np.float32)])
    start, end = clip.segments[0].start, clip.segments[-1].end
    active = word[int(start * rate) : int(end * rate)]
    level = max(float(np.sqrt(np.mean(np.square(active)))), 1e-6)
    wave = wave * np.float32(0.08 / level)
    if snr is None:
        wave = wave + np.float32(1e-4) * rng.standard_normal(len(wave), dtype=np.float32)
    else:
        piece = noise.draw(rng).samples.astype(np.float32)
        piece = np.tile(piece, -(-len(wave) // len(piece)) + 1)
        first = int(rng.integers(len(piece) - len(wave)))
        piece = piece[first : first + len(wave)]
        loud = max(float(np.sqrt(np.mean(np.square(piece)))), 1e-6)
        wave = wave + piece * np.float32(0.08 * 10.0 ** (-snr / 20.0) / loud)
    words = [Segment(_LEAD + start, _LEAD + end, label)] if label else []
    return Planted(np.clip(wave, -1.0, 1.0).astype(np.float32), words, [], group)
