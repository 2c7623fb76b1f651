"""Measures of models with several labels, of events, and of how far probabilities can be trusted.

Undefined measures are None, never a made-up number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from surnn.dataset.labelled import Truth
from surnn.events import EventDetector
from surnn.metrics import detection
from surnn.segments import Segment
from surnn.spec import Head, ModelSpec
from surnn.types import EventKind, Float32, Int64

__all__ = [
    "POINT_EARLY",
    "POINT_LATE",
    "EventMatch",
    "calibration",
    "class_f1",
    "confusion",
    "event_figures",
    "frame_figures",
    "label_figures",
    "match_events",
]

Figures = dict[str, object]
_BLOCK = 50
"""Frames."""
POINT_EARLY = 0.2
"""Seconds by which an event may come before its segment and still be its: edges are not sharp."""
POINT_LATE = 0.5
"""Seconds behind a word in which its event still counts."""


def confusion(truth: NDArray[np.integer], found: Int64, classes: int) -> Int64:
    """How often a frame of one class (row) was called another (column): [C, C]."""
    counts = np.bincount(truth.astype(np.int64) * classes + found, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def class_f1(table: Int64) -> NDArray[np.float64]:
    """F1 of each class [C] from a confusion table; 0 for a class that never occurs."""
    both = table.sum(axis=0) + table.sum(axis=1)
    f1: NDArray[np.float64] = 2.0 * np.diag(table) / np.maximum(both, 1)
    return f1


def frame_figures(spec: ModelSpec, probs: Float32, truth: Truth) -> Figures:
    """Measures over all frames that somebody labelled: probs [T, C].

    `accuracy`, `f1` (mean over the labels that occur) and `auc` (likewise); with one label its
    error rates as well, with labels that exclude each other the `confusion` table.
    """
    each = label_figures(spec, probs, truth)
    if len(spec.labels) == 1:
        return each[spec.labels[0]]
    known, frames = truth.known, int(truth.known.sum())
    occurring = [each[n] for i, n in enumerate(spec.labels) if truth.labels[known, i].any()]
    figures: Figures = {
        "frames": frames,
        "accuracy": _mean([f["accuracy"] for f in each.values()]),
        "f1": _mean([f["f1"] for f in occurring]),
        "auc": _mean([f["auc"] for f in occurring]),
    }
    if spec.head is Head.SOFTMAX and frames:
        table = confusion(
            truth.labels[known].argmax(axis=1), probs[known].argmax(axis=1), len(spec.labels)
        )
        figures["accuracy"] = float(np.trace(table) / table.sum())
        figures["confusion"] = table.tolist()
    return figures


def label_figures(spec: ModelSpec, probs: Float32, truth: Truth) -> dict[str, Figures]:
    """Measures of each label by itself. A label is called at or above the model's threshold, or,
    where labels exclude each other, when it is the most probable one."""
    known = truth.known
    chosen, right = probs[known], truth.labels[known]
    best = chosen.argmax(axis=1) if spec.head is Head.SOFTMAX and len(chosen) else None
    found = {}
    for i, label in enumerate(spec.labels):
        figures: Figures = dict(detection(chosen[:, i], right[:, i], spec.threshold).as_dict())
        if best is not None:
            called = (best == i).astype(np.float32)
            figures |= dict(detection(called, right[:, i], 0.5).as_dict()) | {"auc": figures["auc"]}
        found[label] = figures
    return found


def calibration(probs: Float32, truth: NDArray[np.bool_], bins: int = 10) -> Figures:
    """Of what was called p, is a share of p true? Expected error and the bins behind it.

    probs and truth [n]. Reference: Naeini, Cooper, Hauskrecht, AAAI 2015 (ECE, equal bins).
    """
    if not len(probs):
        return {"ece": None, "bins": []}
    place = np.minimum((probs * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, minlength=bins)
    mean = np.bincount(place, weights=probs, minlength=bins) / np.maximum(count, 1)
    share = np.bincount(place, weights=truth, minlength=bins) / np.maximum(count, 1)
    return {
        "ece": float((np.abs(mean - share) * count).sum() / len(probs)),
        "bins": [
            {"frames": int(c), "probability": float(m), "share": float(s)}
            for c, m, s in zip(count, mean, share, strict=True)
            if c
        ],
    }


@dataclass(slots=True)
class EventMatch:
    """Events of one label against what is true, over any number of recordings."""

    truth: int = 0
    found: int = 0
    false: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Seconds."""

    def add(self, other: EventMatch) -> None:
        """Count another recording's too."""
        self.truth += other.truth
        self.found += other.found
        self.false += other.false
        self.seconds += other.seconds
        self.latencies += other.latencies


def match_events(
    spec: ModelSpec, probs: Float32, segments: Iterable[Segment], late: float = 0.0
) -> dict[str, EventMatch]:
    """The events that a stream of probs [T, C] brings, against the segments of the recording.

    A segment is found by the first start (or point) of its label that lies in it, or up to `late`
    seconds behind it; every event that finds no segment is false. The latency of a segment is
    counted from its start until the event is sent, `min_on` and the lookahead included.
    """
    detector = EventDetector(spec)
    # In blocks: those in which nothing can change are passed over.
    blocks = (probs[i : i + _BLOCK] for i in range(0, len(probs), _BLOCK))
    decided = (e for block in blocks for e in detector.update(block))
    events = [e for e in decided if e.kind in (EventKind.START, EventKind.POINT)]
    rules = {rule.label: rule for rule in spec.events}
    segments = sorted(segments, key=lambda s: s.start)
    matches = {}
    for label, rule in rules.items():
        wait = max(rule.min_on, 1.0 / spec.frame_rate) + spec.lookahead / spec.frame_rate
        targets = _joined([s for s in segments if s.label == label], rule.min_off)
        match = EventMatch(truth=len(targets), seconds=len(probs) / spec.frame_rate)
        hit: set[int] = set()
        for event in (e for e in events if e.label == label):
            inside = [
                i
                for i, s in enumerate(targets)
                if s.start - POINT_EARLY <= event.time <= s.end + late
            ]
            fresh = [i for i in inside if i not in hit]
            if fresh:
                hit.add(fresh[0])
                match.latencies.append(event.time + wait - targets[fresh[0]].start)
            elif not inside or rule.point:
                match.false += 1
        match.found = len(hit)
        matches[label] = match
    return matches


def event_figures(match: EventMatch) -> Figures:
    """Counts, rates and latencies, ready for JSON."""
    late = np.array(match.latencies) * 1000.0
    return {
        "truth": match.truth,
        "found": match.found,
        "missed": match.truth - match.found,
        "false": match.false,
        "false_per_hour": match.false * 3600.0 / match.seconds if match.seconds else None,
        "latency_ms_median": float(np.median(late)) if len(late) else None,
        "latency_ms_p90": float(np.percentile(late, 90)) if len(late) else None,
    }


def _joined(segments: Sequence[Segment], gap: float) -> list[Segment]:
    """Segments with less than `gap` seconds between them as one: no rule could part them."""
    out: list[Segment] = []
    for s in segments:
        if out and s.start - out[-1].end < gap:
            out[-1] = Segment(out[-1].start, max(out[-1].end, s.end), s.label, out[-1].line)
        else:
            out.append(s)
    return out


def _mean(values: Iterable[object]) -> float | None:
    known = [float(v) for v in values if isinstance(v, int | float)]
    return float(np.mean(known)) if known else None
