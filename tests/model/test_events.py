from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surnn.errors import InvalidConfig
from surnn.events import EventDetector, override_rules
from surnn.spec import EventRule, ModelSpec
from surnn.types import Event, EventKind

# One frame is 10 ms: 3 frames to start, 5 frames to end.
ON, OFF = 0.9, 0.1
BETWEEN = 0.4


def detect(spec: ModelSpec, *pieces: list[Any], finish: bool = True) -> list[Event]:
    """Events of the pieces of a stream, each a list of probabilities or of rows of them."""
    detector = EventDetector(spec)
    width = len(spec.labels)
    events = []
    for piece in pieces:
        probs = np.array(piece, np.float32).reshape(len(piece), width)
        events += detector.update(probs)
    return events + (detector.finish() if finish else [])


def spans(events: list[Event]) -> list[tuple[str, float]]:
    return [(event.kind.value, round(event.time, 6)) for event in events]


def test_a_span_starts_where_its_condition_began(audio_spec: ModelSpec) -> None:
    events = detect(audio_spec, [OFF] * 10 + [ON] * 20 + [OFF] * 10)
    assert spans(events) == [("start", 0.10), ("end", 0.30)]


def test_shorter_than_min_on_is_nothing(audio_spec: ModelSpec) -> None:
    assert detect(audio_spec, ([ON] * 2 + [OFF]) * 20) == []
    assert spans(detect(audio_spec, [OFF] + [ON] * 3 + [OFF] * 9)) == [
        ("start", 0.01),
        ("end", 0.04),
    ]


def test_shorter_than_min_off_does_not_end(audio_spec: ModelSpec) -> None:
    events = detect(audio_spec, [ON] * 5 + [OFF] * 4 + [ON] * 5 + [OFF] * 5)
    assert spans(events) == [("start", 0.0), ("end", 0.14)]


def test_between_the_thresholds_nothing_changes(audio_spec: ModelSpec) -> None:
    assert detect(audio_spec, [BETWEEN] * 50) == []
    events = detect(audio_spec, [ON] * 5 + [BETWEEN] * 50 + [OFF] * 5)
    assert spans(events) == [("start", 0.0), ("end", 0.55)]
    # A frame between the thresholds also breaks a run of low ones.
    events = detect(audio_spec, [ON] * 5 + ([OFF] * 4 + [BETWEEN]) * 3, finish=False)
    assert spans(events) == [("start", 0.0)]


def test_thresholds_themselves_count_as_on(audio_spec: ModelSpec) -> None:
    # 0.7 and 0.35 have no exact float32, and both round down.
    for on, off in ((0.5, 0.25), (0.7, 0.35)):
        rule = EventRule(label="speech", on=on, off=off, min_on=0.03, min_off=0.05)
        spec = audio_spec.model_copy(update={"events": (rule,)})
        assert spans(detect(spec, [on] * 3 + [off] * 9)) == [("start", 0.0), ("end", 0.12)]


def test_scores(audio_spec: ModelSpec) -> None:
    start, end = detect(audio_spec, [0.6, 0.7, 0.8, 0.95, 0.6] + [OFF] * 5)
    assert start.score == pytest.approx(0.8)
    assert end.score == pytest.approx(0.95)


def test_a_peak_before_an_interruption_belongs_to_no_span(audio_spec: ModelSpec) -> None:
    _, end = detect(audio_spec, [0.99, 0.99, OFF] + [0.6] * 4 + [OFF] * 5)
    assert end.score == pytest.approx(0.6)


def test_finish_closes_open_spans_and_only_once(audio_spec: ModelSpec) -> None:
    detector = EventDetector(audio_spec)
    detector.update(np.array([[ON]] * 10 + [[OFF]] * 3, np.float32))
    assert detector.active == ("speech",)
    assert spans(detector.finish()) == [("end", 0.10)]
    assert detector.active == ()
    assert detector.finish() == []


def test_zero_durations_decide_at_once(audio_spec: ModelSpec) -> None:
    rule = EventRule(label="speech", min_on=0.0, min_off=0.0)
    spec = audio_spec.model_copy(update={"events": (rule,)})
    events = detect(spec, [ON, OFF, ON, OFF])
    assert spans(events) == [("start", 0.0), ("end", 0.01), ("start", 0.02), ("end", 0.03)]


@given(
    probs=st.lists(st.sampled_from([0.05, 0.3, 0.35, 0.45, 0.5, 0.55, 0.95]), max_size=120),
    cuts=st.lists(st.integers(0, 120), max_size=8),
)
def test_chunks_make_no_difference(
    audio_spec: ModelSpec, probs: list[float], cuts: list[int]
) -> None:
    edges = [0, *sorted(cuts), len(probs)]
    pieces = [probs[a:b] for a, b in pairwise(edges)]
    events = detect(audio_spec, *pieces)
    assert events == detect(audio_spec, probs)
    assert events == reference(probs)


@pytest.mark.parametrize("size", range(1, 14))
def test_runs_and_peaks_reach_over_quiet_chunks(audio_spec: ModelSpec, size: int) -> None:
    # Runs that break in a chunk of their own, and peaks that only a chunk without change holds.
    probs = [ON, ON, OFF] * 5 + [0.6] * 20 + [0.99] * 20 + [0.6] * 20 + [OFF] * 4 + [0.6] * 20
    probs += [OFF] * 40 + [ON] * 2
    pieces = [probs[i : i + size] for i in range(0, len(probs), size)]
    assert detect(audio_spec, *pieces) == reference(probs)
    assert detect(audio_spec, *pieces)[-1].score == pytest.approx(0.99)


def reference(probs: list[float]) -> list[Event]:
    """The rule of `audio_spec` by its definition, looking at the whole at once."""
    values = np.array(probs, np.float32)
    events: list[Event] = []
    start, i = None, 0
    while i < len(values):
        if start is None:
            if i + 3 <= len(values) and (values[i : i + 3] >= np.float32(0.5)).all():
                start = i
                events.append(Event("speech", EventKind.START, start / 100.0, float(values[i + 2])))
                i += 3
                continue
        elif i + 5 <= len(values) and (values[i : i + 5] < np.float32(0.35)).all():
            peak = float(values[start : i + 5].max())
            events.append(Event("speech", EventKind.END, i / 100.0, peak))
            start = None
            i += 5
            continue
        i += 1
    if start is not None:
        end = len(values)
        while values[end - 1] < np.float32(0.35):
            end -= 1
        peak = float(values[start:].max())
        events.append(Event("speech", EventKind.END, end / 100.0, peak))
    return events


def test_labels_are_followed_apart_and_told_in_order(sensor_spec: ModelSpec) -> None:
    a, b, c = np.eye(3).tolist()
    events = detect(sensor_spec, [a] * 5 + [b] * 5 + [c] * 5)
    assert [(e.label, e.kind.value, round(e.time * 50)) for e in events] == [
        ("a", "start", 0),
        ("a", "end", 5),
        ("b", "start", 5),
        ("b", "end", 10),
        ("c", "start", 10),
        ("c", "end", 15),
    ]


def test_an_override_changes_only_what_it_names(audio_spec: ModelSpec) -> None:
    (rule,) = override_rules(audio_spec, {"speech": {"on": 0.8}}).events
    assert rule == EventRule(label="speech", on=0.8, min_on=0.03, min_off=0.05)
    assert audio_spec.events[0].on == 0.5


def test_an_override_adds_a_rule_to_a_label_without(sensor_spec: ModelSpec) -> None:
    bare = sensor_spec.model_copy(update={"events": ()})
    (rule,) = override_rules(bare, {"b": {"on": 0.6}}).events
    assert rule == EventRule(label="b", on=0.6)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"dog": {"on": 0.5}}, r"threshold for 'dog', expected one of \['speech'\]"),
        ({"speech": {"up": 0.5}}, r"threshold fields \['up'\] for 'speech', expected \['min_off'"),
        ({"speech": {"label": 0.5}}, r"threshold fields \['label'\]"),
        ({"speech": {"on": 1.5}}, r"thresholds for 'speech': on is 1\.5, .*less than or equal"),
        ({"speech": {"on": float("nan")}}, "thresholds for 'speech': on is nan"),
        ({"speech": {"min_on": float("inf")}}, "thresholds for 'speech': min_on is inf"),
        ({"speech": {"min_off": -1.0}}, "thresholds for 'speech': min_off is -1.0"),
        ({"speech": {"on": 0.1}}, r"off threshold 0\.35 is above the on threshold 0\.1$"),
    ],
)
def test_overrides_that_cannot_be(
    audio_spec: ModelSpec, thresholds: dict[str, dict[str, float]], message: str
) -> None:
    with pytest.raises(InvalidConfig, match=message):
        override_rules(audio_spec, thresholds)


def test_a_rule_for_points_gives_one_event_and_no_end(audio_spec: ModelSpec) -> None:
    rule = audio_spec.events[0].model_copy(update={"point": True})
    spec = audio_spec.model_copy(update={"events": (rule,)})
    probs = np.zeros((60, 1), np.float32)
    probs[10:20] = 0.9
    probs[22:30] = 0.9  # not yet below `off` for long enough: the same word
    probs[50:60] = 0.9
    whole = EventDetector(spec)
    events = whole.update(probs)
    assert [(e.kind, e.time) for e in events] == [(EventKind.POINT, 0.1), (EventKind.POINT, 0.5)]
    assert whole.active == ()
    assert whole.finish() == []
    parts = EventDetector(spec)
    assert [e for i in range(0, 60, 7) for e in parts.update(probs[i : i + 7])] == events


def smoothing(spec: ModelSpec, seconds: float, **more: Any) -> ModelSpec:
    rule = spec.events[0].model_copy(update={"smooth": seconds, "min_on": 0.0, **more})
    return spec.model_copy(update={"events": (rule,)})


def test_a_mean_hears_what_lasts_and_not_a_short_peak(audio_spec: ModelSpec) -> None:
    spec = smoothing(audio_spec, 0.1)  # 10 frames
    assert detect(spec, [0.0] * 10 + [1.0] * 6 + [0.0] * 40) == []  # 1 - exp(-0.6) = 0.45
    (start, end) = detect(spec, [0.0] * 10 + [0.8] * 30 + [0.0] * 40)
    # 0.8 (1 - exp(-n / 10)) >= 0.5 with the tenth frame.
    assert (start.time, start.kind) == (pytest.approx(0.19), EventKind.START)
    assert start.score == pytest.approx(0.8 * (1 - np.exp(-1.0)), abs=1e-6)
    assert end.time > 0.40


@given(cuts=st.lists(st.integers(0, 200), max_size=5), seed=st.integers(0, 50))
def test_a_mean_does_not_depend_on_chunks(
    audio_spec: ModelSpec, cuts: list[int], seed: int
) -> None:
    spec = smoothing(audio_spec, 0.05)
    rng = np.random.default_rng(seed)
    probs = np.repeat(rng.uniform(0, 1, 20), 10).tolist()
    edges = [0, *sorted(cuts), len(probs)]
    pieces = [probs[a:b] for a, b in pairwise(edges) if b > a]
    assert detect(spec, *pieces) == detect(spec, probs)


def test_a_mean_is_remembered(audio_spec: ModelSpec) -> None:
    spec = smoothing(audio_spec, 0.2)
    probs = np.linspace(0.2, 1.0, 60, dtype=np.float32)[:, None]
    whole, first, second = EventDetector(spec), EventDetector(spec), EventDetector(spec)
    expected = whole.update(probs)
    events = first.update(probs[:25])
    second.remember(25, first.memory())
    assert first.memory()[0].mean > 0.2
    events += second.update(probs[25:])
    assert events == expected
    assert [e.kind for e in events] == [EventKind.START]


def test_smoothing_can_be_asked_for_by_a_stream(audio_spec: ModelSpec) -> None:
    spec = override_rules(audio_spec, {"speech": {"smooth": 0.5}})
    assert spec.events[0].smooth == 0.5
    with pytest.raises(InvalidConfig, match="smooth is -1"):
        override_rules(audio_spec, {"speech": {"smooth": -1.0}})
