"""Measures of a yes/no decision per frame. Undefined ones are None, never a made-up number."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from surnn.errors import InvalidShape
from surnn.types import Float32

__all__ = ["Detection", "auc", "best_threshold", "detection", "roc"]

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Detection:
    """How well scores tell the frames that hold a label from those that do not."""

    frames: int
    accuracy: float | None
    f1: float | None
    auc: float | None
    false_alarm_rate: float | None
    """Share of the frames without the label that were called."""
    miss_rate: float | None
    """Share of the frames with the label that were not called."""

    def as_dict(self) -> dict[str, float | int | None]:
        """Plain values, ready for JSON."""
        return asdict(self)


def detection(scores: Float32, truth: Bools, threshold: float) -> Detection:
    """All measures of scores [n] against truth [n]; a frame is called at or above the threshold.

    Raises `InvalidShape` when the two differ in length.
    """
    _check(scores, truth)
    called = scores >= threshold
    hit = int(np.count_nonzero(called & truth))
    positive, claimed, frames = int(truth.sum()), int(called.sum()), len(truth)
    false_alarms, misses = claimed - hit, positive - hit
    return Detection(
        frames=frames,
        accuracy=_ratio(frames - false_alarms - misses, frames),
        f1=_ratio(2 * hit, positive + claimed),
        auc=auc(scores, truth),
        false_alarm_rate=_ratio(false_alarms, frames - positive),
        miss_rate=_ratio(misses, positive),
    )


def auc(scores: Float32, truth: Bools) -> float | None:
    """Area under the ROC curve: how often a frame with the label scores above one without.

    Ties count half (Mann-Whitney U). None when either kind of frame is missing.
    """
    _check(scores, truth)
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2.0
    total = float(ranks[inverse[truth]].sum())
    return (total - positive * (positive + 1) / 2.0) / (positive * negative)


def roc(scores: Float32, truth: Bools) -> tuple[NDArray[np.float64], NDArray[np.float64], Float32]:
    """The ROC curve: false alarm rate, hit rate and threshold at each corner, from (0, 0) up.

    Raises `InvalidShape` when frames of one kind are missing.
    """
    _check(scores, truth)
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative:
        raise InvalidShape(f"{positive} frames of {len(truth)} hold the label, expected both kinds")
    values, inverse = np.unique(scores, return_inverse=True)
    hits = np.bincount(inverse[truth], minlength=len(values))[::-1]
    alarms = np.bincount(inverse[~truth], minlength=len(values))[::-1]
    hit_rate = np.concatenate([[0.0], np.cumsum(hits) / positive])
    alarm_rate = np.concatenate([[0.0], np.cumsum(alarms) / negative])
    thresholds = np.concatenate([[np.inf], values[::-1]]).astype(np.float32)
    return alarm_rate, hit_rate, thresholds


def best_threshold(scores: Float32, truth: Bools, low: float = 0.05, high: float = 0.95) -> float:
    """The threshold with the highest mean of accuracy and F1, rounded to 0.01."""
    _check(scores, truth)
    candidates = np.arange(round(low * 100), round(high * 100) + 1) / 100.0

    def value(threshold: float) -> float:
        called = scores >= threshold
        hit = np.count_nonzero(called & truth)
        accuracy = np.count_nonzero(called == truth) / max(len(truth), 1)
        return float(accuracy + 2 * hit / max(int(truth.sum()) + int(called.sum()), 1))

    return float(max(candidates, key=value))


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _check(scores: Float32, truth: Bools) -> None:
    if scores.shape != truth.shape or scores.ndim != 1:
        raise InvalidShape(
            f"scores are {list(scores.shape)}, truth is {list(truth.shape)}, expected [n] both"
        )
