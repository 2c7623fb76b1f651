"""Measures against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from surnn.errors import InvalidShape
from surnn.metrics import auc, best_threshold, detection, roc


def test_measures_of_a_small_case() -> None:
    scores = np.array([0.9, 0.8, 0.4, 0.7, 0.2, 0.1], np.float32)
    truth = np.array([1, 1, 1, 0, 0, 0], bool)
    found = detection(scores, truth, 0.5)
    assert found.frames == 6
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.f1 == pytest.approx(2 * 2 / (3 + 3))
    assert found.miss_rate == pytest.approx(1 / 3)
    assert found.false_alarm_rate == pytest.approx(1 / 3)
    assert found.auc == pytest.approx(8 / 9)


def test_a_score_at_the_threshold_is_called() -> None:
    found = detection(np.array([0.5], np.float32), np.array([True]), 0.5)
    assert (found.accuracy, found.miss_rate) == (1.0, 0.0)


def test_what_is_undefined_is_none() -> None:
    silence = detection(np.array([0.1, 0.2], np.float32), np.zeros(2, bool), 0.5)
    assert (silence.auc, silence.miss_rate, silence.f1) == (None, None, None)
    assert (silence.accuracy, silence.false_alarm_rate) == (1.0, 0.0)
    nothing = detection(np.zeros(0, np.float32), np.zeros(0, bool), 0.5)
    assert (nothing.accuracy, nothing.auc, nothing.frames) == (None, None, 0)


def test_auc_counts_pairs_and_ties_half() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 12, 300).astype(np.float32)
    truth = rng.random(300) < 0.3
    positive, negative = scores[truth][:, None], scores[~truth][None, :]
    pairs = (positive > negative).mean() + 0.5 * (positive == negative).mean()
    assert auc(scores, truth) == pytest.approx(pairs, abs=1e-12)
    assert auc(np.ones(8, np.float32), np.arange(8) < 3) == 0.5


def test_auc_survives_a_million_frames() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(1_000_000) < 0.5
    scores = (truth * 10.0 + rng.random(len(truth))).astype(np.float32)
    assert auc(scores, truth) == 1.0


def test_the_area_under_the_curve_is_the_auc() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random(500) < 0.4
    scores = (truth + rng.normal(0, 1.2, 500)).astype(np.float32)
    scores[::7] = scores[0]
    alarm, hit, thresholds = roc(scores, truth)
    assert (alarm[0], hit[0], alarm[-1], hit[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert np.trapezoid(hit, alarm) == pytest.approx(auc(scores, truth), abs=1e-12)
    assert (np.diff(thresholds) < 0).all()
    middle = len(thresholds) // 2
    assert hit[middle] == (scores[truth] >= thresholds[middle]).mean()
    with pytest.raises(InvalidShape, match="expected both kinds"):
        roc(scores, np.ones(500, bool))


def test_the_best_threshold_separates() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.62, 0.7, 0.9], np.float32)
    truth = np.array([0, 0, 0, 1, 1, 1], bool)
    assert 0.3 < best_threshold(scores, truth) <= 0.62
    assert best_threshold(scores, ~truth) in (0.05, 0.95)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(InvalidShape, match=r"scores are \[3\], truth is \[2\]"):
        detection(np.zeros(3, np.float32), np.zeros(2, bool), 0.5)
