"""Probabilities to events, with hysteresis; one detector per stream.

A span of a label starts once its probability has been at or above `on` for `min_on` seconds, and
ends once it has been below `off` for `min_off` seconds. Both events carry the time at which the
condition began, not the time at which it was certain.

A rule for points gives one event where a span would start and none where it would end; until then
it gives no other.

A rule may look at a sliding mean of the probability instead, so that one short peak is no event and
a long, less sure one is (posterior smoothing; Chen, Parada, Heigold, ICASSP 2014):

    m_t = m_(t-1) + (p_t - m_(t-1)) (1 - exp(-1 / (smooth * frame rate)))
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from surnn.errors import InvalidConfig, InvalidSnapshot
from surnn.snapshot import SpanState
from surnn.spec import EventRule, Head, ModelSpec
from surnn.types import Event, EventKind, Float32

__all__ = ["EventDetector", "Extremes", "override_rules", "sliding_mean", "smoothing_share"]

Extremes = tuple[Sequence[float], Sequence[float]]
"""Highest and lowest probability of each label [C]."""


_FEW = 64
"""Numbers up to which Python is done sooner than numpy."""


def override_rules(spec: ModelSpec, thresholds: Mapping[str, Mapping[str, float]]) -> ModelSpec:
    """The spec with event rules changed: `{"speech": {"on": 0.7, "min_off": 0.5}}`."""
    if thresholds and spec.head is Head.LINEAR:
        raise InvalidConfig(
            f"thresholds for {sorted(thresholds)}, but model {spec.name!r} gives numbers, not "
            "probabilities: expected none"
        )
    rules = {rule.label: rule for rule in spec.events}
    for label, changes in thresholds.items():
        if label not in spec.labels:
            raise InvalidConfig(f"threshold for {label!r}, expected one of {list(spec.labels)}")
        known = set(EventRule.model_fields) - {"label", "point"}
        if unknown := set(changes) - known:
            raise InvalidConfig(
                f"threshold fields {sorted(unknown)} for {label!r}, expected {sorted(known)}"
            )
        old = rules.get(label, EventRule(label=label))
        try:
            rules[label] = EventRule.model_validate(old.model_dump() | dict(changes))
        except ValidationError as error:
            raise InvalidConfig(f"thresholds for {label!r}: {_first_problem(error)}") from error
    return spec.model_copy(update={"events": tuple(rules.values())})


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    field = "".join(f"{part} is {problem['input']!r}, " for part in problem["loc"])
    return field + problem["msg"].removeprefix("Value error, ")


def smoothing_share(seconds: float, frame_rate: float) -> float:
    """The share of a new probability in the sliding mean; 1 for 0 seconds: no mean."""
    return 1.0 if seconds <= 0 else -math.expm1(-1.0 / (seconds * frame_rate))


def sliding_mean(
    probs: Float32, shares: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sliding means [T, C] of probabilities [T, C], from the mean before the first of them [C].

    Frame by frame, so that it makes no difference where a stream is cut into chunks.
    """
    out = np.empty(probs.shape, np.float64)
    mean = start.copy()
    for i, p in enumerate(probs):
        mean += (p - mean) * shares
        out[i] = mean
    return out


class EventDetector:
    """Follows every event rule of a model through one stream."""

    def __init__(self, spec: ModelSpec) -> None:
        self._followers = [
            _Follower(rule, spec.labels.index(rule.label), spec.frame_rate) for rule in spec.events
        ]
        self._frame = 0
        self._shares = np.ones(len(spec.labels))
        for rule, follower in zip(spec.events, self._followers, strict=True):
            self._shares[follower.column] = smoothing_share(rule.smooth, spec.frame_rate)
        self._smooth = bool((self._shares < 1.0).any())
        self._means = np.zeros(len(spec.labels))

    @property
    def active(self) -> tuple[str, ...]:
        """Labels whose span is open now."""
        return tuple(f.label for f in self._followers if f.active and not f.point)

    def update(self, probs: Float32, extremes: Extremes | None = None) -> list[Event]:
        """Events that the next frames [T, C] bring, in order of decision.

        `extremes` spares looking for them, where they are known.
        """
        first, frames = self._frame, len(probs)
        self._frame += frames
        if not frames or not self._followers:
            return []
        if self._smooth:
            smoothed = sliding_mean(probs, self._shares, self._means)
            self._means = smoothed[-1].copy()
            probs, extremes = smoothed.astype(np.float32), None
        high, low = _extremes(probs) if extremes is None else extremes
        decided: list[tuple[int, Event]] = []
        for follower in self._followers:
            column = follower.column
            if not follower.passes(high[column], low[column]):
                decided += follower.update(probs[:, column], first)
        if len(decided) > 1:
            decided.sort(key=lambda pair: pair[0])
        return [event for _, event in decided]

    def memory(self) -> tuple[SpanState, ...]:
        """Where each rule stands."""
        return tuple(f.memory(float(self._means[f.column])) for f in self._followers)

    def remember(self, frame: int, spans: Sequence[SpanState]) -> None:
        """Go on from what `memory` returned after `frame` frames. Raises `InvalidSnapshot`."""
        if len(spans) != len(self._followers):
            raise InvalidSnapshot(f"{len(spans)} spans, expected {len(self._followers)}")
        self._frame = frame
        for follower, span in zip(self._followers, spans, strict=True):
            follower.remember(span)
            self._means[follower.column] = span.mean

    def finish(self) -> list[Event]:
        """Close every open span at the end of the stream."""
        return [f.close(self._frame) for f in self._followers if f.active and not f.point]


def _extremes(probs: Float32) -> Extremes:
    if probs.size <= _FEW:
        columns = probs.T.tolist()
        return [max(column) for column in columns], [min(column) for column in columns]
    return np.maximum.reduce(probs).tolist(), np.minimum.reduce(probs).tolist()


class _Follower:
    """One rule, and where it stands."""

    def __init__(self, rule: EventRule, column: int, frame_rate: float) -> None:
        self.label = rule.label
        self.point = rule.point
        self.column = column
        self.active = False
        # In the precision of the probabilities, so that a threshold of 0.35 is met by 0.35.
        self._on = float(np.float32(rule.on))
        self._off = float(np.float32(rule.off))
        # 0.03 s at 100 frames per second are 3 frames, also where the product is 3.0000000004.
        self._min_on = max(1, math.ceil(rule.min_on * frame_rate - 1e-9))
        self._min_off = max(1, math.ceil(rule.min_off * frame_rate - 1e-9))
        self._frame_rate = frame_rate
        self._run = 0
        """Frames in a row that speak for a change: >= on when inactive, < off when active."""
        self._peak = 0.0

    def update(self, probs: Float32, first: int) -> list[tuple[int, Event]]:
        """Events of the next frames [T], each with the frame that decided it."""
        decided = []
        for frame, p in enumerate(probs.tolist(), start=first):
            event = self._step(frame, p)
            if event is not None:
                decided.append((frame, event))
        return decided

    def passes(self, high: float, low: float) -> bool:
        """Pass over frames between these two, if nothing changes: as most of the time."""
        if not self.active:
            if high >= self._on:
                return False
            self._run, self._peak = 0, 0.0
            return True
        if low < self._off:
            return False
        self._run, self._peak = 0, max(self._peak, high)
        return True

    def memory(self, mean: float) -> SpanState:
        """Where this rule stands."""
        return SpanState(active=self.active, run=self._run, peak=self._peak, mean=mean)

    def remember(self, span: SpanState) -> None:
        """Go on from what `memory` returned."""
        self.active, self._run, self._peak = span.active, span.run, span.peak

    def close(self, frames: int) -> Event:
        """The end of the open span, `frames` being the length of the stream."""
        event = Event(
            self.label, EventKind.END, (frames - self._run) / self._frame_rate, self._peak
        )
        self.active, self._run, self._peak = False, 0, 0.0
        return event

    def _step(self, frame: int, p: float) -> Event | None:
        if self.active:
            self._run = self._run + 1 if p < self._off else 0
            self._peak = max(self._peak, p)
            if self._run < self._min_off:
                return None
            end = self.close(frame + 1)
            return None if self.point else end
        self._run = self._run + 1 if p >= self._on else 0
        self._peak = max(self._peak, p) if self._run else 0.0
        if self._run < self._min_on:
            return None
        start = (frame + 1 - self._run) / self._frame_rate
        self.active, self._run = True, 0
        return Event(self.label, EventKind.POINT if self.point else EventKind.START, start, p)
