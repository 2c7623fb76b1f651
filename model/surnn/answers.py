"""From what a runtime computed to probabilities and counts, for one session or a whole batch.

What is computed in frame t answers for frame t - lookahead: the first frames of a stream answer
for nothing yet. No session changes here, so that a batch that fails can be taken apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from surnn.events import Extremes
from surnn.runtimes.base import FrameBlock
from surnn.runtimes.joined import JoinedBlocks
from surnn.spec import Head, ModelSpec
from surnn.types import Float32

__all__ = ["Answer", "Stream", "answer_all", "answer_one", "probabilities"]

_FEW = 32
"""Frames up to which Python counts faster than numpy."""
_HALF, _ONE = np.float32(0.5), np.float32(1.0)


class Stream(Protocol):
    """A session, as far as this needs it."""

    spec: ModelSpec
    frames: int
    """Computed before."""


class Answer(NamedTuple):
    """What one session's frames gave."""

    probs: Float32
    """Of the frames that are answered now [T, C]."""
    opened: Float32
    """Neurons updated in these frames [T, L]: whole numbers."""
    updates: tuple[int, ...]
    """Neurons updated in all computed frames [L]."""
    computed: int
    """Frames."""
    extremes: Extremes | None = None
    """Of the probabilities, where they are known."""
    summary: tuple[Float32, Float32] | None = None
    """Mean and highest probability [C], where they are known."""


def answer_one(stream: Stream, block: FrameBlock) -> Answer:
    """One session's answer: the plain way, and the reference of the other."""
    logits, opened = block.logits, block.opened
    computed = len(logits)
    if computed <= _FEW:
        updates = [sum(layer) for layer in opened.T.tolist()]
    else:
        updates = np.add.reduce(opened, axis=0, dtype=np.float64).tolist()
    if early := max(0, stream.spec.lookahead - stream.frames):
        logits, opened = logits[early:], opened[early:]
    probs = probabilities(logits, stream.spec.head)
    return Answer(probs, opened, tuple([int(n) for n in updates]), computed)


def answer_all(streams: Sequence[Stream], blocks: Sequence[FrameBlock]) -> list[Answer]:
    """What `answer_one` gives for each session of one model, bit for bit, in fewer steps.

    Sessions that brought the same number of frames, as most do, are taken together.
    """
    if len(streams) == 1:
        return [answer_one(streams[0], blocks[0])]
    spec = streams[0].spec
    lookahead, head = spec.lookahead, spec.head
    if isinstance(blocks, JoinedBlocks) and min([s.frames for s in streams]) >= lookahead:
        frames, rest = divmod(len(blocks.logits), len(blocks))
        if frames and not rest and blocks.ends[1:] == [*range(frames, blocks.ends[-1] + 1, frames)]:
            return _answer_same(blocks.logits, blocks.opened, frames, head)
    answers: list[Answer | None] = [None] * len(streams)
    same: dict[int, list[int]] = {}
    for i, (stream, block) in enumerate(zip(streams, blocks, strict=True)):
        if stream.frames < lookahead or not len(block.logits):
            answers[i] = answer_one(stream, block)
        else:
            same.setdefault(len(block.logits), []).append(i)
    for frames, members in same.items():
        logits = np.concatenate([blocks[i].logits for i in members])
        opened = np.concatenate([blocks[i].opened for i in members])
        together = _answer_same(logits, opened, frames, head)
        for i, answer in zip(members, together, strict=True):
            answers[i] = answer
    return [answer for answer in answers if answer is not None]


def _answer_same(logits: Float32, opened: Float32, frames: int, head: Head) -> list[Answer]:
    """Answers of sessions with so many frames each, one behind the other."""
    shape = (len(logits) // frames, frames, -1)
    probs = probabilities(logits, head).reshape(shape)
    opened = opened.reshape(shape)
    updates = opened.sum(axis=1, dtype=np.float64).astype(np.int64).tolist()
    # Along this axis numpy adds in the same order as for one session alone.
    means = probs.sum(axis=1) / np.float32(frames)
    highs, lows = probs.max(axis=1), probs.min(axis=1)
    rows = zip(probs, opened, updates, highs.tolist(), lows.tolist(), means, highs, strict=True)
    return [
        Answer(p, o, tuple(done), frames, (high, low), (mean, peak))
        for p, o, done, high, low, mean, peak in rows
    ]


def probabilities(logits: Float32, head: Head) -> Float32:
    """Probabilities [T, C] from logits [T, C]; a linear head's numbers stay what they are."""
    if head is Head.LINEAR:
        return logits
    if head is Head.SIGMOID:
        independent: Float32 = _HALF * logits
        np.tanh(independent, independent)
        independent += _ONE
        independent *= _HALF
        return independent
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    normalised: Float32 = (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)
    return normalised
