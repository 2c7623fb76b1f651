"""Scores as text: JSON, NDJSON, CSV, RTTM, Audacity labels, WebVTT; one score at a time.

Seconds have 3 decimals and probabilities 4 in every format, so the same scores always give the
same text (Audacity's own files have 6 decimals, and so have its labels here).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import PurePath
from typing import TextIO

from surnn.errors import InvalidAudio, InvalidConfig
from surnn.scan import FileScore, Segment

__all__ = ["Format", "parse_format", "render", "score_record", "segment_record", "write"]


class Format(StrEnum):
    """How scores are written."""

    JSON = "json"
    """An array with one object for each file."""
    NDJSON = "ndjson"
    """One JSON object on a line for each file."""
    CSV = "csv"
    """One row for each segment, in the columns of `segments.csv` and two more."""
    RTTM = "rttm"
    """NIST's Rich Transcription Time Marked: one SPEAKER line for each segment."""
    AUDACITY = "audacity"
    """A label track: start, end and label between tabs. One file only."""
    WEBVTT = "webvtt"
    """Captions: one cue for each segment. One file only."""

    @property
    def media_type(self) -> str:
        """What HTTP calls it."""
        return _MEDIA_TYPES[self]

    @property
    def extension(self) -> str:
        """The usual end of a file's name, with its dot."""
        return _EXTENSIONS[self]

    @property
    def single_file(self) -> bool:
        """Has it no place for a file's name, so that it can describe but one file?"""
        return self in (Format.AUDACITY, Format.WEBVTT)


_MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv",
    Format.RTTM: "text/x-rttm",
    Format.AUDACITY: "text/x-audacity-labels",
    Format.WEBVTT: "text/vtt",
}
_EXTENSIONS = {
    Format.JSON: ".json",
    Format.NDJSON: ".ndjson",
    Format.CSV: ".csv",
    Format.RTTM: ".rttm",
    Format.AUDACITY: ".txt",
    Format.WEBVTT: ".vtt",
}


def parse_format(name: str) -> Format:
    """The format of that name or media type. Raises `InvalidConfig` naming the choices."""
    for choice in Format:
        if name.lower() in (choice.value, choice.media_type):
            return choice
    raise InvalidConfig(f"format is {name!r}, expected one of {[f.value for f in Format]}")


def write(format: Format, scores: Iterable[FileScore], out: TextIO) -> int:
    """Write scores as they come (see `render`); how many there were."""
    count = 0

    def counted() -> Iterator[FileScore]:
        nonlocal count
        for score in scores:
            count += 1
            yield score

    for piece in render(format, counted()):
        out.write(piece)
    return count


def render(format: Format, scores: Iterable[FileScore]) -> Iterator[str]:
    """Pieces of text, at least one for each score as soon as it comes.

    Files that failed are told in the format's own way. Audacity labels have none, and raise
    `InvalidAudio`; formats for a single file raise `InvalidConfig` at the second.
    """
    if format.single_file:
        scores = _only_one(format, scores)
    return _RENDERERS[format](scores)


def score_record(score: FileScore) -> dict[str, object]:
    """A score as JSON values."""
    record: dict[str, object] = {
        "file": score.file,
        "model": score.model,
        "seconds": round(score.seconds, 3),
        "segments": [segment_record(s) for s in score.segments],
        "sparsity": {
            "open_rate": [round(rate, 4) for rate in score.sparsity.open_rate],
            "updates": score.sparsity.updates,
            "skipped": score.sparsity.skipped,
            "possible": score.sparsity.possible,
        },
        "cost": {
            "compute_ms": round(score.compute_ms, 3),
            "realtime_factor": round(score.realtime_factor, 1),
        },
    }
    if score.frames is not None:
        record["frames"] = {
            "rate": score.frames.rate,
            "probs": {
                label: _rounded(score.frames.probs[:, i].tolist())
                for i, label in enumerate(score.labels)
            },
            "open_rate": [_rounded(layer.tolist()) for layer in score.frames.open_rates.T],
        }
    if score.error is not None:
        record["error"] = {"code": score.error.code, "message": score.error.message}
    return record


def segment_record(segment: Segment) -> dict[str, object]:
    """A segment as JSON values."""
    return {
        "label": segment.label,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "score": round(segment.score, 4),
    }


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 4) for value in values]


def _only_one(format: Format, scores: Iterable[FileScore]) -> Iterator[FileScore]:
    for count, score in enumerate(scores):
        if count:
            raise InvalidConfig(
                f"{format.value} describes one file, expected no second ({score.file!r})"
            )
        yield score


def _line(score: FileScore) -> str:
    return json.dumps(score_record(score), ensure_ascii=False, allow_nan=False)


def _json(scores: Iterable[FileScore]) -> Iterator[str]:
    opening = "[\n"
    for score in scores:
        yield opening + _line(score)
        opening = ",\n"
    yield "[]\n" if opening == "[\n" else "\n]\n"


def _ndjson(scores: Iterable[FileScore]) -> Iterator[str]:
    for score in scores:
        yield _line(score) + "\n"


def _csv(scores: Iterable[FileScore]) -> Iterator[str]:
    yield "file,start_s,end_s,label,score,error\n"
    for score in scores:
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        for s in score.segments:
            rows.writerow(
                (score.file, f"{s.start:.3f}", f"{s.end:.3f}", s.label, f"{s.score:.4f}", "")
            )
        if score.error is not None:
            rows.writerow((score.file, "", "", "", "", score.error.message))
        yield table.getvalue()


def _rttm(scores: Iterable[FileScore]) -> Iterator[str]:
    for score in scores:
        # Fields end at white space, and scoring tools look for the name without its extension.
        name = "_".join(PurePath(score.file).stem.split()) or "_"
        lines = [
            f"SPEAKER {name} 1 {s.start:.3f} {s.end - s.start:.3f} <NA> <NA> "
            f"{'_'.join(s.label.split())} {s.score:.4f} <NA>\n"
            for s in score.segments
        ]
        if score.error is not None:
            lines.append(f";; {name} failed: {_one_line(score.error.message)}\n")
        yield "".join(lines)


def _audacity(scores: Iterable[FileScore]) -> Iterator[str]:
    for score in scores:
        if score.error is not None:
            raise InvalidAudio(score.error.message)
        yield "".join(f"{s.start:.6f}\t{s.end:.6f}\t{_one_line(s.label)}\n" for s in score.segments)


def _webvtt(scores: Iterable[FileScore]) -> Iterator[str]:
    yield "WEBVTT\n"
    for score in scores:
        cues = []
        for s in score.segments:
            start = round(s.start * 1000)
            end = max(round(s.end * 1000), start + 1)  # a cue must not be empty
            cues.append(f"\n{_clock(start)} --> {_clock(end)}\n{_escaped(s.label)}\n")
        if score.error is not None:
            cues.append(f"\nNOTE failed: {_escaped(score.error.message)}\n")
        yield "".join(cues)


def _clock(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{rest:03d}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    text = _one_line(text).replace("&", "&amp;")
    return text.replace("<", "&lt;").replace(">", "&gt;")


_RENDERERS: dict[Format, Callable[[Iterable[FileScore]], Iterator[str]]] = {
    Format.JSON: _json,
    Format.NDJSON: _ndjson,
    Format.CSV: _csv,
    Format.RTTM: _rttm,
    Format.AUDACITY: _audacity,
    Format.WEBVTT: _webvtt,
}
