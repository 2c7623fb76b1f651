"""Segments from RTTM files and Audacity label tracks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from surnn.errors import InvalidInput
from surnn.segments import Segment

__all__ = ["read_audacity", "read_rttm"]


def read_rttm(path: Path) -> dict[str, list[Segment]]:
    """Segments of each recording, by its name without ending, in the order of the file.

    `SPEAKER <file> <channel> <start> <duration> <NA> <NA> <label> <NA> <NA>`; lines of other types
    are passed over. Raises `InvalidInput` naming file and line.
    """
    found: dict[str, list[Segment]] = {}
    for line, text in _lines(path):
        fields = text.split()
        if fields[0] != "SPEAKER":
            continue
        if len(fields) < 8:
            raise InvalidInput(
                f"{path}:{line}: {len(fields)} fields, expected at least 8: "
                "SPEAKER file channel start duration <NA> <NA> label"
            )
        start = _seconds(path, line, "start", fields[3])
        length = _seconds(path, line, "duration", fields[4])
        if length <= 0:
            raise InvalidInput(f"{path}:{line}: duration is {length:g}, expected more than 0")
        found.setdefault(fields[1], []).append(Segment(start, start + length, fields[7], line))
    return found


def read_audacity(path: Path) -> list[Segment]:
    """Segments of a label track: start, end and label between tabs.

    Raises `InvalidInput` naming file and line.
    """
    found = []
    for line, text in _lines(path):
        fields = text.split("\t")
        if fields[0] == "\\":
            continue  # the frequencies of a spectral selection belong to the line before
        if len(fields) < 3 or not fields[2].strip():
            raise InvalidInput(
                f"{path}:{line}: {len(fields)} fields, expected start, end and label between tabs"
            )
        start, end = (_seconds(path, line, n, f) for n, f in zip(("start", "end"), fields[:2]))  # noqa: B905
        if end <= start:
            raise InvalidInput(
                f"{path}:{line}: ends at {end:g}, expected more than its start {start:g}"
            )
        found.append(Segment(start, end, fields[2].strip(), line))
    return found


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not blank or a comment."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: byte {error.start} is not UTF-8 text") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith((";;", "#")):
            yield number, line


def _seconds(path: Path, line: int, what: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise InvalidInput(f"{path}:{line}: {what} is {text.strip()!r}, expected seconds from 0")
    return value
