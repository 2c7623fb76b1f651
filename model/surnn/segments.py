"""Labels of recordings: `segments.csv` beside the audio, and what it says about each frame.

    file,start_s,end_s,label
    flac/103-1240-0000.flac,0.438,1.098,speech

`file` is relative to the folder that holds the CSV; `start` and `end` are other names for the
times. Further columns say more about a file: its speaker, say. A file without rows holds none of
the labels, and so does one with a row of nothing but its name and further columns.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surnn.errors import InvalidInput

__all__ = ["Segment", "check_segments", "frame_labels", "read_fields", "read_rows", "read_segments"]

_COLUMNS = ("file", "start_s", "end_s", "label")
_OTHER_NAMES = {"start": "start_s", "end": "end_s"}
# Durations in the CSV are rounded, and the last window of a detector may hang over the end.
_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Segment:
    """A label holds from `start` to `end`, in seconds from the start of the file."""

    start: float
    end: float
    label: str
    line: int = 0
    """Line of the CSV it was read from."""


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of each row of a CSV file that must have these columns.

    Raises `InvalidInput` naming the file and the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InvalidInput(f"{path}: no such file, expected a CSV table") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{path}: byte {error.start} is not UTF-8 text, expected a CSV table"
        ) from None
    reader = csv.DictReader(text.splitlines())
    header = [name.strip() for name in reader.fieldnames or ()]
    renamed = {old: new for old, new in _OTHER_NAMES.items() if new in columns}
    header = [renamed.get(name, name) for name in header]
    if missing := [name for name in columns if name not in header]:
        raise InvalidInput(
            f"{path}:1: columns are {','.join(header) or 'missing'}, "
            f"expected {','.join(missing)} too"
        )
    reader.fieldnames = header
    for row in reader:
        if any(row[name] is None for name in columns):
            raise InvalidInput(
                f"{path}:{reader.line_num}: row is too short, expected {','.join(columns)}"
            )
        yield reader.line_num, {key: (row[key] or "").strip() for key in header}


def read_segments(path: Path) -> dict[str, list[Segment]]:
    """Segments of each file named in a `segments.csv`, in the order of the table.

    Raises `InvalidInput` naming file and line: missing columns, a time that is not a number, or
    a segment that does not end after it starts.
    """
    found: dict[str, list[Segment]] = {}
    for line, row in read_rows(path, _COLUMNS):
        if row["file"] and not any(row[name] for name in _COLUMNS[1:]):
            continue
        start = _seconds(path, line, "start_s", row["start_s"])
        end = _seconds(path, line, "end_s", row["end_s"])
        if end <= start:
            raise InvalidInput(f"{path}:{line}: end_s is {end:g}, expected more than {start:g}")
        if not row["label"]:
            raise InvalidInput(f"{path}:{line}: label is empty, expected a name")
        found.setdefault(row["file"], []).append(Segment(start, end, row["label"], line))
    return found


def read_fields(path: Path) -> dict[str, dict[str, str]]:
    """Further columns of each file in a `segments.csv`: those that are the same in all its rows."""
    found: dict[str, dict[str, str]] = {}
    for _, row in read_rows(path, _COLUMNS):
        more = {key: value for key, value in row.items() if key not in _COLUMNS}
        before = found.setdefault(row["file"], more)
        found[row["file"]] = {k: v for k, v in before.items() if more.get(k) == v}
    return found


def check_segments(
    path: Path, segments: Mapping[str, Iterable[Segment]], durations: Mapping[str, float]
) -> None:
    """Compare segments read from `path` with the seconds that each file really holds.

    Raises `InvalidInput` naming file and line: a file that is not there, or a segment beyond the
    end of its file.
    """
    for name, rows in segments.items():
        for row in rows:
            if name not in durations:
                raise InvalidInput(f"{path}:{row.line}: no audio file {name!r} in {path.parent}")
            if row.end > durations[name] + _TOLERANCE:
                raise InvalidInput(
                    f"{path}:{row.line}: end_s is {row.end:g}, "
                    f"but {name} ends at {durations[name]:.3f} s"
                )


def frame_labels(
    segments: Iterable[Segment], label: str, frames: int, frame_rate: float, offset: float = 0.0
) -> NDArray[np.bool_]:
    """Does `label` hold in each frame: [T]. True where it covers at least half of the frame.

    Args:
        segments: of one file; they may overlap and come in any order.
        label: the label asked for; other labels are passed over.
        frames: T.
        frame_rate: frames per second.
        offset: seconds of the file before the first frame.
    """
    spans = sorted((s.start, s.end) for s in segments if s.label == label)
    if not spans:
        return np.zeros(frames, np.bool_)
    merged = [list(spans[0])]
    for start, end in spans[1:]:
        if start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    knots = np.array(merged)
    # Seconds of the label up to each start and end; straight lines between them.
    lengths = knots[:, 1] - knots[:, 0]
    total = np.cumsum(lengths)
    covered = np.stack([total - lengths, total], axis=1)
    edges = offset + np.arange(frames + 1) / frame_rate
    inside = np.diff(np.interp(edges, knots.ravel(), covered.ravel()))
    result: NDArray[np.bool_] = inside >= 0.5 / frame_rate - 1e-9
    return result


def _seconds(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise InvalidInput(f"{path}:{line}: {column} is {text!r}, expected seconds from 0")
    return value
