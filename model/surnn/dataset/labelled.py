"""One labelled recording, and what its labels say about frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surnn.errors import InvalidInput
from surnn.segments import Segment, frame_labels

__all__ = ["Labelled", "Truth", "check_labels", "check_overlaps", "frame_truth"]

Bools = NDArray[np.bool_]
_TOUCH = 0.001
"""Seconds by which segments may overlap: times in tables are rounded."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A recording and what holds in it."""

    name: str
    """Relative to the folder of the data set."""
    path: Path
    seconds: float
    sample_rate: float
    segments: tuple[Segment, ...]
    source: Path
    """The file that the labels stand in."""
    fields: Mapping[str, str]
    """Further columns that hold for the whole recording: `speaker`, say."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true in each frame."""

    labels: Bools
    """[T, C]"""
    known: Bools
    """Frames that somebody labelled [T]; the others do not count."""


def frame_truth(
    segments: Sequence[Segment],
    labels: Sequence[str],
    frames: int,
    frame_rate: float,
    *,
    exclusive: bool,
    background: str | None = None,
) -> Truth:
    """Labels [T, C] of the frames.

    Where labels exclude each other, a frame without any holds the background; where there is no
    background it does not count. Labels that do not exclude each other are known everywhere.
    """
    table = np.stack(
        [frame_labels(segments, label, frames, frame_rate) for label in labels], axis=1
    )
    if background is not None:
        column = list(labels).index(background)
        rest = np.delete(table, column, axis=1).any(axis=1)
        table[:, column] |= ~rest
    if not exclusive:
        return Truth(table, np.ones(frames, np.bool_))
    # Two labels may both cover half of the frame in which they meet: the later one wins.
    several = table.sum(axis=1) > 1
    if several.any():
        last = table.shape[1] - 1 - table[several, ::-1].argmax(axis=1)
        table[several] = np.eye(table.shape[1], dtype=np.bool_)[last]
    known: Bools = np.asarray(table.any(axis=1), np.bool_)
    return Truth(table, known)


def check_labels(source: Path, segments: Iterable[Segment], labels: Sequence[str]) -> None:
    """Raises `InvalidInput` naming the line of a label that the model does not have."""
    for segment in segments:
        if segment.label not in labels:
            raise InvalidInput(
                f"{source}:{segment.line}: label is {segment.label!r}, "
                f"expected one of {list(labels)}"
            )


def check_overlaps(source: Path, segments: Iterable[Segment], *, exclusive: bool) -> None:
    """Segments of one recording: those of one label never overlap, nor any where exclusive.

    Raises `InvalidInput` naming the line of the later one.
    """
    latest: dict[str, Segment] = {}
    for segment in sorted(segments, key=lambda s: (s.start, s.line)):
        key = "" if exclusive else segment.label
        before = latest.get(key)
        if before is not None and segment.start < before.end - _TOUCH:
            remedy = (
                "" if segment.label == before.label else " (or head = 'sigmoid' for several labels)"
            )
            raise InvalidInput(
                f"{source}:{segment.line}: {segment.label!r} from {segment.start:g} s overlaps "
                f"{before.label!r} of line {before.line}, which ends at {before.end:g} s, "
                f"expected segments apart{remedy}"
            )
        if before is None or segment.end > before.end:
            latest[key] = segment
