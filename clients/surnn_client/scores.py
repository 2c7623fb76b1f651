"""What the server says over REST, as types, and how they are read. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from surnn_client.exceptions import ProtocolViolation
from surnn_client.messages import Cost, Sparsity
from surnn_client.wire import parse_cost, parse_sparsity

__all__ = [
    "FileError",
    "FileScore",
    "Health",
    "Segment",
    "ServedModel",
    "failed_score",
    "parse_health",
    "parse_models",
    "parse_score",
]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Segment:
    """A label holds from `start` to `end`, in seconds from the start of the file."""

    label: str
    start: float
    end: float
    score: float
    """The peak probability in between."""


@dataclass(frozen=True, slots=True)
class FileError:
    """Why a file could not be scored."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class FileScore:
    """What a model found in one file."""

    file: str
    """The path as it was given, or the name of what was."""
    model: str
    seconds: float
    segments: tuple[Segment, ...]
    sparsity: Sparsity
    cost: Cost
    error: FileError | None = None


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that the server serves."""

    name: str
    version: str
    kind: str
    """ "audio" or "sensor"."""
    description: str
    labels: tuple[str, ...]
    sample_rate: int
    hop: int
    channels: int
    layers: tuple[int, ...]
    licence: str
    state_bytes: int
    """What one stream remembers."""


@dataclass(frozen=True, slots=True)
class Health:
    """How the server does; a server that wants a key tells the status only without one."""

    status: str
    models: tuple[str, ...]
    sessions: int
    """Streams now."""
    max_sessions: int


def parse_score(line: str | bytes) -> FileScore:
    """One line of NDJSON. Raises `ProtocolViolation`."""
    return _read(line, "a score", _score)


def parse_models(data: bytes) -> list[ServedModel]:
    """The body of `/v1/models`. Raises `ProtocolViolation`."""
    return _read(data, "a list of models", lambda raw: [_model(m) for m in raw["models"]])


def parse_health(data: bytes) -> Health:
    """The body of `/readyz`. Raises `ProtocolViolation`."""
    return _read(data, "the server's health", _health)


def failed_score(file: str, model: str, code: str, message: str) -> FileScore:
    """The score of a file that could not be scored."""
    return FileScore(
        file, model, 0.0, (), Sparsity((), 0, 0, 0), Cost(0.0, 0.0), FileError(code, message)
    )


def _read(data: str | bytes, what: str, reader: Callable[[Any], _T]) -> _T:
    try:
        return reader(orjson.loads(data))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProtocolViolation(
            f"server sent {data[:80]!r}, expected {what} as JSON: {error!r}"
        ) from error


def _score(raw: dict[str, Any]) -> FileScore:
    error = raw.get("error")
    return FileScore(
        file=str(raw["file"]),
        model=str(raw["model"]),
        seconds=float(raw["seconds"]),
        segments=tuple(
            Segment(str(s["label"]), float(s["start"]), float(s["end"]), float(s["score"]))
            for s in raw["segments"]
        ),
        sparsity=parse_sparsity(raw["sparsity"]),
        cost=parse_cost(raw["cost"]),
        error=error and FileError(str(error["code"]), str(error["message"])),
    )


def _model(raw: dict[str, Any]) -> ServedModel:
    return ServedModel(
        name=str(raw["name"]),
        version=str(raw["version"]),
        kind=str(raw["kind"]),
        description=str(raw["description"]),
        labels=tuple(str(label) for label in raw["labels"]),
        sample_rate=int(raw["sample_rate"]),
        hop=int(raw["hop"]),
        channels=int(raw["channels"]),
        layers=tuple(int(hidden) for hidden in raw["layers"]),
        licence=str(raw["licence"]),
        state_bytes=int(raw["state_bytes"]),
    )


def _health(raw: dict[str, Any]) -> Health:
    return Health(
        status=str(raw["status"]),
        models=tuple(str(name) for name in raw.get("models", ())),
        sessions=int(raw.get("sessions", 0)),
        max_sessions=int(raw.get("max_sessions", 0)),
    )
