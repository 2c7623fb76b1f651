"""Thresholds and event rules, chosen on held-out recordings of one label: a model's or a peer's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surnn.measures import EventMatch, match_events
from surnn.metrics import best_threshold
from surnn.segments import Segment
from surnn.spec import EventRule, ModelSpec
from surnn.types import Float32

__all__ = ["Stream", "choose_rule", "choose_threshold", "measure_rule"]

_ON = (*(round(0.3 + 0.05 * i, 2) for i in range(14)), 0.97, 0.98, 0.99)
_BELOW = 0.15
"""How far `off` lies below `on` at least."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What a detector made of one recording, and what is true."""

    probs: Float32
    """[T, 1]"""
    labels: NDArray[np.bool_]
    """[T]"""
    segments: tuple[Segment, ...]

    @property
    def alone(self) -> bool:
        """Is the label nowhere in it?"""
        return not self.segments


def choose_threshold(streams: Iterable[Stream]) -> float:
    """For frames: the highest mean of accuracy and F1 (see `best_threshold`)."""
    chosen = list(streams)
    return best_threshold(
        np.concatenate([s.probs[:, 0] for s in chosen]), np.concatenate([s.labels for s in chosen])
    )


def measure_rule(
    spec: ModelSpec, rule: EventRule, streams: Iterable[Stream]
) -> tuple[EventMatch, EventMatch]:
    """The events of a rule in recordings that hold the label, and in those that don't."""
    ruled = spec.model_copy(update={"events": (rule,)})
    there, alone = EventMatch(), EventMatch()
    for stream in streams:
        match = match_events(ruled, stream.probs, stream.segments)[rule.label]
        (alone if stream.alone else there).add(match)
    return there, alone


def choose_rule(
    spec: ModelSpec,
    streams: Sequence[Stream],
    *,
    min_on: Sequence[float],
    min_off: float = 0.3,
    latency: float = 0.1,
    false_per_hour: float = 2.0,
) -> EventRule:
    """The rule that costs least of those whose starts are told in time, or as early as any are.

    `latency` limits the median delay of starts in seconds. What costs, all by the hour: labels
    that are missed and events that are false where the label is, and events beyond
    `false_per_hour` where the label is nowhere. Events end where frames are below their own
    threshold: an `off` close to a high `on` would cut them into pieces.
    """
    threshold = choose_threshold(streams)
    ranked = []
    for wait in min_on:
        for on in _ON:
            rule = EventRule(
                label=spec.labels[0],
                on=on,
                off=round(max(0.05, min(on - _BELOW, threshold)), 2),
                min_on=wait,
                min_off=min_off,
            )
            there, alone = measure_rule(spec, rule, streams)
            late = float(np.median(there.latencies)) if there.latencies else np.inf
            errors = _hourly(there.truth - there.found + there.false, there.seconds)
            excess = max(0.0, _hourly(alone.false, alone.seconds) - false_per_hour)
            ranked.append((max(late, latency), errors + excess, rule))
    return min(ranked, key=lambda row: row[:2])[2]


def _hourly(count: int, seconds: float) -> float:
    return count * 3600.0 / seconds if seconds else 0.0
