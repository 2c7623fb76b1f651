"""Messages to and from JSON. No I/O, no state.

Types and fields that a newer server may add are passed over; what this version needs and does
not find is a `ProtocolViolation`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import orjson

from surnn_client.exceptions import ProtocolViolation
from surnn_client.messages import (
    Checkpoint,
    Chunk,
    Cost,
    Error,
    EventMessage,
    LabelProbs,
    Limits,
    Marker,
    Message,
    ModelInfo,
    Ready,
    Reconnected,
    Sparsity,
    StreamInfo,
    Summary,
    Warning_,
)
from surnn_client.options import (
    PROTOCOL_VERSION,
    Overflow,
    Priority,
    Report,
    StreamOptions,
    control,
)

__all__ = [
    "PROTOCOL_VERSION",
    "Overflow",
    "Priority",
    "Report",
    "StreamOptions",
    "control",
    "dump",
    "parse",
    "parse_cost",
    "parse_sparsity",
    "to_dict",
]

_T = TypeVar("_T")


def parse(data: str | bytes) -> Message | None:
    """The message in a text frame; None when its type is not known to this version.

    Raises `ProtocolViolation`.
    """
    try:
        raw = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ProtocolViolation(f"server sent {_short(data)}, expected JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ProtocolViolation(f"server sent {_short(data)}, expected a JSON object")
    reader = _READERS.get(str(raw.get("type")))
    if reader is None:
        return None
    try:
        return reader(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProtocolViolation(
            f"server sent {_short(data)}, expected a complete {raw['type']!r} message: {error!r}"
        ) from error


def dump(message: Message) -> str:
    """The message as the server sends it, on one line."""
    return orjson.dumps(to_dict(message)).decode()


def to_dict(message: Message) -> dict[str, Any]:
    """The message as the JSON object that the server sends."""
    fields = asdict(message)
    if isinstance(message, Error):
        fields |= fields.pop("checkpoint") or {}
    if fields.get("replaced_position", 0) is None:
        del fields["replaced_position"]
    if isinstance(message, Ready) and message.stream is None:
        del fields["stream"]
    if isinstance(message, Chunk):
        fields["probs"] = {
            label: {"mean": p.mean, "max": p.max} if p.frames is None else list(p.frames)
            for label, p in message.probs.items()
        }
    for part in ("sparsity", "cost"):
        if part in fields:
            fields[part] = {k: v for k, v in fields[part].items() if v is not None}
    return {"type": _NAMES[type(message)], **fields}


def _short(data: str | bytes) -> str:
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _optional(kind: Callable[[Any], _T], value: Any) -> _T | None:
    return None if value is None else kind(value)


def parse_sparsity(raw: dict[str, Any]) -> Sparsity:
    """The `sparsity` part of a message."""
    frames = raw.get("frames")
    return Sparsity(
        open_rate=_floats(raw["open_rate"]),
        updates=int(raw["updates"]),
        skipped=int(raw["skipped"]),
        possible=int(raw["possible"]),
        frames=None if frames is None else tuple(_floats(layer) for layer in frames),
    )


def parse_cost(raw: dict[str, Any]) -> Cost:
    """The `cost` part of a message."""
    return Cost(
        compute_ms=float(raw["compute_ms"]),
        realtime_factor=float(raw["realtime_factor"]),
        queue_ms=_optional(float, raw.get("queue_ms")),
        batch=_optional(int, raw.get("batch")),
    )


def _label_probs(raw: Any) -> LabelProbs:
    if isinstance(raw, dict):
        return LabelProbs(mean=float(raw["mean"]), max=float(raw["max"]))
    frames = _floats(raw)
    if not frames:
        return LabelProbs(mean=0.0, max=0.0, frames=())
    return LabelProbs(mean=sum(frames) / len(frames), max=max(frames), frames=frames)


def _ready(raw: dict[str, Any]) -> Ready:
    model, limits = raw["model"], raw["limits"]
    stream = raw.get("stream")
    return Ready(
        seq=int(raw["seq"]),
        protocol=int(raw["protocol"]),
        session=str(raw["session"]),
        model=ModelInfo(
            name=str(model["name"]),
            version=str(model["version"]),
            labels=tuple(str(label) for label in model["labels"]),
            sample_rate=int(model["sample_rate"]),
            hop=int(model["hop"]),
            layers=tuple(int(hidden) for hidden in model["layers"]),
        ),
        limits=Limits(
            max_message_bytes=int(limits["max_message_bytes"]),
            max_buffered_seconds=float(limits["max_buffered_seconds"]),
            idle_timeout_s=float(limits["idle_timeout_s"]),
            max_session_s=float(limits["max_session_s"]),
            checkpoint_interval_s=float(limits.get("checkpoint_interval_s", 0.0)),
        ),
        stream=None if stream is None else _stream(stream),
        resumed=bool(raw.get("resumed", False)),
        position=int(raw.get("position", 0)),
        frames=int(raw.get("frames", 0)),
        events=int(raw.get("events", 0)),
    )


def _stream(raw: dict[str, Any]) -> StreamInfo:
    return StreamInfo(
        encoding=str(raw["encoding"]),
        sample_rate=int(raw["sample_rate"]),
        channels=int(raw["channels"]),
    )


def _chunk(raw: dict[str, Any]) -> Chunk:
    return Chunk(
        seq=int(raw["seq"]),
        start=float(raw["start"]),
        end=float(raw["end"]),
        first_sample=int(raw["first_sample"]),
        end_sample=int(raw["end_sample"]),
        frames=int(raw["frames"]),
        probs={str(label): _label_probs(p) for label, p in raw["probs"].items()},
        sparsity=parse_sparsity(raw["sparsity"]),
        cost=parse_cost(raw["cost"]),
    )


def _event(raw: dict[str, Any]) -> EventMessage:
    return EventMessage(
        seq=int(raw["seq"]),
        label=str(raw["label"]),
        kind=str(raw["kind"]),
        time=float(raw["time"]),
        score=float(raw["score"]),
        sample=int(raw["sample"]),
        open_rate=_floats(raw["open_rate"]),
        latency_ms=float(raw["latency_ms"]),
        number=int(raw.get("number", 0)),
    )


def _marker(raw: dict[str, Any]) -> Marker:
    return Marker(seq=int(raw["seq"]), id=str(raw["id"]))


def _checkpoint(raw: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        seq=int(raw["seq"]),
        position=int(raw["position"]),
        frames=int(raw["frames"]),
        events=int(raw["events"]),
        token=str(raw["token"]),
        replaced_position=_count_or_none(raw.get("replaced_position")),
    )


def _count_or_none(value: Any) -> int | None:
    return None if value is None else int(value)


def _reconnected(raw: dict[str, Any]) -> Reconnected:
    return Reconnected(
        url=str(raw["url"]),
        reason=str(raw["reason"]),
        attempts=int(raw["attempts"]),
        position=int(raw["position"]),
    )


def _warning(raw: dict[str, Any]) -> Warning_:
    return Warning_(seq=int(raw["seq"]), code=str(raw["code"]), message=str(raw["message"]))


def _error(raw: dict[str, Any]) -> Error:
    return Error(
        seq=int(raw["seq"]),
        code=str(raw["code"]),
        message=str(raw["message"]),
        retryable=bool(raw["retryable"]),
        checkpoint=_checkpoint(raw) if "token" in raw else None,
    )


def _summary(raw: dict[str, Any]) -> Summary:
    return Summary(
        seq=int(raw["seq"]),
        reason=str(raw["reason"]),
        seconds=float(raw["seconds"]),
        samples=int(raw["samples"]),
        frames=int(raw["frames"]),
        events=int(raw["events"]),
        sparsity=parse_sparsity(raw["sparsity"]),
        cost=parse_cost(raw["cost"]),
    )


_READERS: dict[str, Callable[[dict[str, Any]], Message]] = {
    "ready": _ready,
    "chunk": _chunk,
    "event": _event,
    "marker": _marker,
    "checkpoint": _checkpoint,
    "reconnected": _reconnected,
    "warning": _warning,
    "error": _error,
    "summary": _summary,
}
_NAMES: dict[type, str] = {
    Ready: "ready",
    Chunk: "chunk",
    EventMessage: "event",
    Marker: "marker",
    Checkpoint: "checkpoint",
    Reconnected: "reconnected",
    Warning_: "warning",
    Error: "error",
    Summary: "summary",
}
