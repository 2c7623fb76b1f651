"""Measures of several labels, of events, and of probabilities, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from surnn.dataset import Truth
from surnn.measures import calibration, event_figures, frame_figures, label_figures, match_events
from surnn.segments import Segment
from surnn.spec import EventRule, Head, LayerSpec, ModelKind, ModelSpec, ScaleFrontEnd


def spec(head: Head, *, point: bool = False, lookahead: int = 0) -> ModelSpec:
    rules = (EventRule(label="b", on=0.5, off=0.4, min_on=0.2, min_off=0.3, point=point),)
    return ModelSpec(
        name="three",
        kind=ModelKind.SENSOR,
        sample_rate=10,
        hop=1,
        channels=1,
        frontend=ScaleFrontEnd(mean=(0.0,), scale=(1.0,)),
        layers=(LayerSpec(hidden=2),),
        labels=("a", "b", "c"),
        head=head,
        events=rules,
        lookahead=lookahead,
    )


def test_exclusive_labels_are_judged_by_the_most_probable_one() -> None:
    probs = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]])
    truth = np.eye(3, dtype=np.bool_)[[0, 1, 1, 2]]
    known = np.array([True, True, True, False])
    figures = frame_figures(spec(Head.SOFTMAX), probs.astype(np.float32), Truth(truth, known))
    assert figures["frames"] == 3
    assert figures["accuracy"] == pytest.approx(2 / 3)
    assert figures["confusion"] == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    # Labels that do not occur among the known frames have no say: a 2/3, b 2/3.
    assert figures["f1"] == pytest.approx(2 / 3)
    rows = label_figures(spec(Head.SOFTMAX), probs.astype(np.float32), Truth(truth, known))
    assert rows["b"]["miss_rate"] == 0.5
    assert rows["c"]["auc"] is None


def test_independent_labels_are_judged_by_the_threshold() -> None:
    probs = np.array([[0.9, 0.9, 0.1], [0.2, 0.9, 0.1]], np.float32)
    truth = np.array([[True, True, False], [True, False, False]])
    figures = frame_figures(spec(Head.SIGMOID), probs, Truth(truth, np.ones(2, np.bool_)))
    assert figures["accuracy"] == pytest.approx((0.5 + 0.5 + 1.0) / 3)
    assert "confusion" not in figures


def test_calibration_counts_what_was_called_and_what_was_true() -> None:
    probs = np.repeat(np.array([0.25, 0.75], np.float32), 100)
    truth = np.concatenate([np.arange(100) < 25, np.arange(100) < 55])
    found = calibration(probs, truth)
    assert found["ece"] == pytest.approx(0.5 * 0.2, abs=1e-6)
    assert [(b["frames"], b["share"]) for b in found["bins"]] == [(100, 0.25), (100, 0.55)]  # type: ignore[attr-defined]
    assert calibration(probs[:0], truth[:0])["ece"] is None


def stream(*spans: tuple[int, int], frames: int = 100) -> np.ndarray:
    probs = np.zeros((frames, 3), np.float32)
    for first, last in spans:
        probs[first:last, 1] = 0.9
    return probs


def test_events_find_segments_and_latency_counts_waiting() -> None:
    segments = [Segment(1.0, 2.0, "b"), Segment(5.0, 6.0, "b"), Segment(8.0, 9.0, "a")]
    probs = stream((12, 20), (70, 75))
    match = match_events(spec(Head.SIGMOID, lookahead=3), probs, segments)["b"]
    assert (match.truth, match.found, match.false) == (2, 1, 1)
    # Begins at 1.2 s; sent after 0.2 s of holding and 3 frames of lookahead.
    assert match.latencies == pytest.approx([0.2 + 0.2 + 0.3])
    figures = event_figures(match)
    assert figures["missed"] == 1
    assert figures["false_per_hour"] == pytest.approx(360.0)
    assert figures["latency_ms_median"] == pytest.approx(700.0)


def test_an_event_that_breaks_off_and_begins_again_in_one_segment_is_one() -> None:
    probs = stream((10, 15), (25, 30))
    segments = [Segment(1.0, 3.0, "b")]
    assert match_events(spec(Head.SIGMOID), probs, segments)["b"].false == 0
    # Of points, each stands for itself.
    assert match_events(spec(Head.SIGMOID, point=True), probs, segments)["b"].false == 1


def test_segments_closer_than_any_rule_could_part_are_one() -> None:
    segments = [Segment(1.0, 2.0, "b"), Segment(2.1, 3.0, "b")]
    match = match_events(spec(Head.SIGMOID), stream((10, 30)), segments)["b"]
    assert (match.truth, match.found) == (1, 1)
