"""Machine telemetry with anomalies: rows of channels, and where something was wrong.

Tables as SKAB has them (columns `anomaly` and `changepoint`, 0 or 1), or as NAB has them (a table
`anomaly_windows.csv` of the folder: file,window_start,window_end).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surnn.dataset.tables import Table, read_table, table_files
from surnn.errors import InvalidInput
from surnn.segments import read_rows
from surnn.types import Float32

__all__ = ["WINDOWS", "Telemetry", "read_telemetry"]

WINDOWS = "anomaly_windows.csv"
_LABELS = ("anomaly", "changepoint")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """One series."""

    name: str
    values: Float32
    """[n, channels]"""
    anomaly: NDArray[np.bool_]
    """Rows in which something was wrong [n]."""
    changes: NDArray[np.bool_]
    """Rows in which something changed [n]."""
    windows: tuple[tuple[int, int], ...] = ()
    """First and last row of each window in which an alarm is right."""
    labelled: bool = True
    """Does anything say whether rows were anomalies?"""


def read_telemetry(folder: Path, files: Sequence[str] = ("*",)) -> list[Telemetry]:
    """The tables of a folder whose names match one of some patterns, in order.

    Raises `InvalidInput` naming file and line.
    """
    names = [
        n
        for n in table_files(folder)
        if n not in (WINDOWS, "files.csv") and any(fnmatch(n, pattern) for pattern in files)
    ]
    if not names:
        raise InvalidInput(f"{folder}: no table matches {list(files)}")
    windows = _windows(folder) if (folder / WINDOWS).is_file() else None
    return [
        _read(folder / name, name, None if windows is None else windows.get(name, []))
        for name in names
    ]


def _read(path: Path, name: str, windows: Sequence[tuple[int, str, str]] | None) -> Telemetry:
    table = read_table(path)
    rest = [c for c in table.columns if c not in _LABELS]
    channels = [c for c in rest if _is_number(table.columns[c][0])]
    if not channels:
        raise InvalidInput(f"{path}:1: columns are {','.join(rest)}, expected columns of numbers")
    values = np.stack([table.numbers(c) for c in channels], axis=1).astype(np.float32)
    anomaly, changes = (
        table.numbers(c) > 0 if c in table.columns else np.zeros(len(table), np.bool_)
        for c in _LABELS
    )
    found = _rows(table, rest, windows or ())
    for first, last in found:
        anomaly[first : last + 1] = True
    labelled = windows is not None or any(c in table.columns for c in _LABELS)
    return Telemetry(name, values, anomaly, changes, tuple(found), labelled)


def _windows(folder: Path) -> dict[str, list[tuple[int, str, str]]]:
    found: dict[str, list[tuple[int, str, str]]] = {}
    for line, row in read_rows(folder / WINDOWS, ("file", "window_start", "window_end")):
        found.setdefault(row["file"], []).append((line, row["window_start"], row["window_end"]))
    return found


def _rows(
    table: Table, columns: Sequence[str], windows: Sequence[tuple[int, str, str]]
) -> list[tuple[int, int]]:
    if not windows:
        return []
    times = np.array(
        [
            _moment(w, table.path, int(n))
            for n, w in zip(table.lines, table.words(columns[0]), strict=True)
        ]
    )
    out = []
    for line, start, end in windows:
        first, last = (_moment(text, table.path.parent / WINDOWS, line) for text in (start, end))
        inside = np.flatnonzero((times >= first) & (times <= last))
        if len(inside):
            out.append((int(inside[0]), int(inside[-1])))
    return out


def _moment(text: str, path: Path, line: int) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise InvalidInput(f"{path}:{line}: {text!r}, expected a date and time") from None


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True
