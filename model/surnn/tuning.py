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

_ON = tuple(round(0.3 + 0.05 * i, 2) for i in range(14))
_BELOW = 0.15
"""How far `off` lies below `on`."""


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
    """The rule with the fewest errors of those that keep both limits, as far as any does.

    `latency` limits the median delay of starts in seconds, `false_per_hour` what is found where
    the label is nowhere. Errors are what is missed and what is false where the label is. A rule
    that keeps only the first limit is preferred to one that keeps only the second.
    """
    ranked = []
    for wait in min_on:
        for on in _ON:
            rule = EventRule(
                label=spec.labels[0],
                on=on,
                off=round(max(0.05, on - _BELOW), 2),
                min_on=wait,
                min_off=min_off,
            )
            there, alone = measure_rule(spec, rule, streams)
            late = float(np.median(there.latencies)) if there.latencies else np.inf
            rate = alone.false * 3600.0 / alone.seconds if alone.seconds else 0.0
            errors = there.truth - there.found + there.false
            excess = max(rate, false_per_hour)
            ranked.append((max(late, latency), excess, errors, rule))
    return min(ranked, key=lambda row: row[:3])[3]
