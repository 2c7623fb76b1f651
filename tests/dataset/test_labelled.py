"""What segments say about frames."""

from __future__ import annotations

from surnn.dataset import frame_truth
from surnn.segments import Segment

SEGMENTS = (Segment(0.0, 0.3, "a"), Segment(0.5, 0.7, "b"))


def test_independent_labels_are_known_everywhere() -> None:
    truth = frame_truth((*SEGMENTS, Segment(0.2, 0.6, "b")), ("a", "b"), 8, 10.0, exclusive=False)
    assert truth.known.all()
    assert truth.labels[:, 0].tolist() == [True] * 3 + [False] * 5
    assert truth.labels[:, 1].tolist() == [False] * 2 + [True] * 5 + [False]


def test_where_labels_exclude_each_other_what_nobody_labelled_does_not_count() -> None:
    truth = frame_truth(SEGMENTS, ("a", "b"), 8, 10.0, exclusive=True)
    assert truth.known.tolist() == [True] * 3 + [False] * 2 + [True] * 2 + [False]


def test_the_background_holds_where_no_other_label_does() -> None:
    truth = frame_truth(SEGMENTS, ("a", "rest", "b"), 8, 10.0, exclusive=True, background="rest")
    assert truth.known.all()
    assert truth.labels.argmax(axis=1).tolist() == [0, 0, 0, 1, 1, 2, 2, 1]


def test_a_frame_in_which_two_labels_meet_has_one() -> None:
    meeting = (Segment(0.0, 0.15, "a"), Segment(0.15, 0.3, "b"))
    truth = frame_truth(meeting, ("a", "b"), 3, 10.0, exclusive=True)
    assert truth.labels.sum(axis=1).tolist() == [1, 1, 1]
