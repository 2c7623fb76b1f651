"""Probabilities to events, with hysteresis; one detector per stream.

A span of a label starts once its probability has been at or above `on` for `min_on` seconds, and
ends once it has been below `off` for `min_off` seconds. Both events carry the time at which the
condition began, not the time at which it was certain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from surnn.errors import InvalidConfig
from surnn.spec import EventRule, ModelSpec
from surnn.types import Event, EventKind, Float32

__all__ = ["EventDetector", "override_rules"]


def override_rules(spec: ModelSpec, thresholds: Mapping[str, Mapping[str, float]]) -> ModelSpec:
    """The spec with event rules changed: `{"speech": {"on": 0.7, "min_off": 0.5}}`."""
    rules = {rule.label: rule for rule in spec.events}
    for label, changes in thresholds.items():
        if label not in spec.labels:
            raise InvalidConfig(f"threshold for {label!r}, expected one of {list(spec.labels)}")
        known = set(EventRule.model_fields) - {"label"}
        if unknown := set(changes) - known:
            raise InvalidConfig(
                f"threshold fields {sorted(unknown)} for {label!r}, expected {sorted(known)}"
            )
        old = rules.get(label, EventRule(label=label))
        try:
            rules[label] = EventRule.model_validate(old.model_dump() | dict(changes))
        except ValueError as error:
            raise InvalidConfig(f"thresholds for {label!r}: {error}") from error
    return spec.model_copy(update={"events": tuple(rules.values())})


@dataclass(slots=True)
class _Span:
    """Where one rule stands: run lengths in frames, and the span that is open."""

    active: bool = False
    run: int = 0
    """Frames in a row that speak for a change: >= on when inactive, < off when active."""
    peak: float = 0.0


class EventDetector:
    """Follows every event rule of a model through one stream."""

    def __init__(self, spec: ModelSpec) -> None:
        self._frame_rate = spec.frame_rate
        self._rules = [
            (
                rule,
                spec.labels.index(rule.label),
                max(1, math.ceil(rule.min_on * spec.frame_rate - 1e-9)),
                max(1, math.ceil(rule.min_off * spec.frame_rate - 1e-9)),
                _Span(),
            )
            for rule in spec.events
        ]
        self._frame = 0

    @property
    def active(self) -> tuple[str, ...]:
        """Labels whose span is open now."""
        return tuple(rule.label for rule, *_, span in self._rules if span.active)

    def update(self, probs: Float32) -> list[Event]:
        """Events that the next frames [T, C] bring, in order of decision."""
        decided: list[tuple[int, Event]] = []
        for rule, column, min_on, min_off, span in self._rules:
            column_probs = probs[:, column]
            if not len(column_probs) or _nothing_changes(column_probs, rule, span):
                continue
            for i, p in enumerate(column_probs.tolist()):
                event = self._step(rule, min_on, min_off, span, self._frame + i, p)
                if event is not None:
                    decided.append((i, event))
        self._frame += len(probs)
        return [event for _, event in sorted(decided, key=lambda pair: pair[0])]

    def finish(self) -> list[Event]:
        """Close every open span at the end of the stream."""
        events = []
        for rule, _, _, _, span in self._rules:
            if span.active:
                end = (self._frame - span.run) / self._frame_rate
                events.append(Event(rule.label, EventKind.END, end, span.peak))
                span.active, span.run = False, 0
        return events

    def _step(
        self, rule: EventRule, min_on: int, min_off: int, span: _Span, frame: int, p: float
    ) -> Event | None:
        if not span.active:
            span.run = span.run + 1 if p >= rule.on else 0
            span.peak = max(span.peak, p) if span.run else 0.0
            if span.run < min_on:
                return None
            start = (frame + 1 - span.run) / self._frame_rate
            span.active, span.run = True, 0
            return Event(rule.label, EventKind.START, start, p)
        span.run = span.run + 1 if p < rule.off else 0
        span.peak = max(span.peak, p)
        if span.run < min_off:
            return None
        end = (frame + 1 - span.run) / self._frame_rate
        peak = span.peak
        span.active, span.run, span.peak = False, 0, 0.0
        return Event(rule.label, EventKind.END, end, peak)


def _nothing_changes(probs: Float32, rule: EventRule, span: _Span) -> bool:
    """Can the frames be passed over? Long silence and long speech mostly can."""
    if not span.active:
        if float(probs.max()) >= rule.on:
            return False
        span.run, span.peak = 0, 0.0
        return True
    if float(probs.min()) < rule.off:
        return False
    span.run = 0
    span.peak = max(span.peak, float(probs.max()))
    return True
