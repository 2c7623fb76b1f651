"""Scores as bytes, exact: a result is rendered in any format long after it was computed."""

from __future__ import annotations

from dataclasses import asdict

import orjson

from surnn.scan import FileError, FileScore, Segment
from surnn.types import Sparsity

__all__ = ["decode", "encode"]


def encode(score: FileScore) -> bytes:
    """The score as JSON, all digits kept. Frames are not part of it."""
    record = asdict(score)
    del record["frames"]
    return orjson.dumps(record)


def decode(data: bytes) -> FileScore:
    """The score that `encode` wrote."""
    record = orjson.loads(data)
    sparsity, error = record["sparsity"], record["error"]
    return FileScore(
        file=record["file"],
        model=record["model"],
        labels=tuple(record["labels"]),
        seconds=record["seconds"],
        segments=tuple(Segment(**segment) for segment in record["segments"]),
        sparsity=Sparsity(**sparsity | {"open_rate": tuple(sparsity["open_rate"])}),
        compute_ms=record["compute_ms"],
        error=None if error is None else FileError(**error),
    )
