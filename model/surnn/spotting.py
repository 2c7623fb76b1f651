"""Words in recordings against the events of a model that tells of moments (rules of `point`).

Every labelled segment is a word. It is named right by an event of its label that comes from a
little before it until half a second behind it (later by as much as its rule averages over), wrong
by one of another label, and missed by none; events that belong to no word are false. Recordings
without words count false events per hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from surnn.events import EventDetector, sliding_mean, smoothing_share
from surnn.measures import POINT_EARLY, POINT_LATE
from surnn.segments import Segment
from surnn.spec import ModelSpec
from surnn.types import Event, Float32

if TYPE_CHECKING:
    from surnn.listening import Heard

__all__ = ["LEAD", "TAIL", "spots", "word_figures"]

LEAD, TAIL = 0.5, 1.5
"""Seconds of silence around each recording: a word is told once it is over."""

Figures = dict[str, object]


@dataclass(frozen=True, slots=True)
class _Word:
    truth: str
    called: str
    """Empty: by no event."""
    forced: str
    """The label that was held most surely, however unsure."""
    late: float | None
    """Seconds from the end of the word until its event was sent, if it was named right."""


@dataclass(frozen=True, slots=True)
class _Told:
    """One recording."""

    heard: Heard
    words: list[_Word]
    false: int


def spots(spec: ModelSpec) -> bool:
    """Does a model tell of moments, so that words are what it is measured by?"""
    return any(rule.point for rule in spec.events)


def word_figures(spec: ModelSpec, heard: Iterable[Heard]) -> Figures:
    """Words right, wrong and missed, and false events: of all, of each label, and of each value
    of what a table says of the recordings (`by`)."""
    told = [_told(spec, one) for one in heard]
    figures = _counts(told)
    every = [w for t in told for w in t.words]
    names = [rule.label for rule in spec.events]
    figures["labels"] = {
        name: {
            "words": sum(w.truth == name for w in every),
            "right": sum(w.truth == w.called == name for w in every),
            "called": sum(w.called == name for w in every),
        }
        for name in names
    }
    figures["confusion"] = {
        name: {
            called or "none": sum(w.truth == name and w.called == called for w in every)
            for called in dict.fromkeys(w.called for w in every if w.truth == name)
        }
        for name in names
    }
    by: dict[str, dict[str, list[_Told]]] = {}
    for one in told:
        for column, value in one.heard.fields.items():
            if value and column != "speaker":
                by.setdefault(column, {}).setdefault(value, []).append(one)
    figures["by"] = {c: {v: _counts(t) for v, t in rows.items()} for c, rows in by.items()}
    return figures


def _counts(told: Sequence[_Told]) -> Figures:
    words = [w for t in told for w in t.words]
    right = sum(w.truth == w.called for w in words)
    forced = sum(w.truth == w.forced for w in words)
    empty = [t for t in told if not t.words]
    hours = sum(t.heard.seconds for t in empty) / 3600.0
    false = sum(t.false for t in empty)
    late = [w.late for w in words if w.late is not None]
    return {
        "words": len(words),
        "right": right,
        "wrong": sum(w.called not in ("", w.truth) for w in words),
        "missed": sum(not w.called for w in words),
        "accuracy": right / len(words) if words else None,
        "forced_accuracy": forced / len(words) if words else None,
        "delay_ms_median": float(np.median(late)) * 1000.0 if late else None,
        "false_beside_words": sum(t.false for t in told if t.words),
        "recordings_without": len(empty),
        "hours_without": hours,
        "false": false,
        "false_per_hour": false / hours if hours else None,
    }


def _told(spec: ModelSpec, one: Heard) -> _Told:
    detector = EventDetector(spec)
    ruled = {rule.label: rule for rule in spec.events}
    left = detector.update(one.probs)
    words = []
    for segment in sorted(one.segments, key=lambda s: s.start):
        if segment.label not in ruled:
            continue
        near = [
            e
            for e in left
            if segment.start - POINT_EARLY <= e.time
            and e.time <= segment.end + POINT_LATE + ruled[e.label].smooth
        ]
        own = [e for e in near if e.label == segment.label] or near
        called, late = "", None
        if own:
            left.remove(own[0])
            called = own[0].label
            if called == segment.label:
                late = _sent(own[0], spec) - segment.end
        words.append(_Word(segment.label, called, _forced(spec, one.probs, segment), late))
    return _Told(one, words, len(left))


def _sent(event: Event, spec: ModelSpec) -> float:
    rule = next(r for r in spec.events if r.label == event.label)
    return event.time + max(rule.min_on, 1.0 / spec.frame_rate) + spec.lookahead / spec.frame_rate


def _forced(spec: ModelSpec, probs: Float32, segment: Segment) -> str:
    """The label whose rule came nearest to an event."""
    rate = spec.frame_rate
    best = ("", -1.0)
    shares = np.ones(len(spec.labels))
    for rule in spec.events:
        shares[spec.labels.index(rule.label)] = smoothing_share(rule.smooth, rate)
    probs = sliding_mean(probs, shares, np.zeros(len(shares))).astype(np.float32)
    for rule in spec.events:
        first = max(0, int((segment.start - POINT_EARLY) * rate))
        last = int((segment.end + POINT_LATE + rule.smooth + rule.min_on) * rate) + 1
        column = probs[first:last, spec.labels.index(rule.label)]
        hold = max(1, round(rule.min_on * rate))
        if len(column) < hold:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(column, hold)
        held = float(windows.min(axis=1).max())
        if held > best[1]:
            best = (rule.label, held)
    return best[0]
