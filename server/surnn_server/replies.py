"""What the server says on a WebSocket: one function for each message. No I/O.

Messages are built as plain dictionaries, because a server with a thousand streams builds ten
thousand of them a second. numpy values stay as they are: orjson writes a float32 with the few
digits that it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from surnn import Event, ModelSpec, Sparsity
from surnn_server.codes import ErrorCode
from surnn_server.settings import Settings

__all__ = [
    "PROTOCOL_VERSION",
    "Reply",
    "encode",
    "error",
    "event",
    "marker",
    "ready",
    "sparsity",
    "warning",
]

PROTOCOL_VERSION = 1
Reply = dict[str, Any]


def encode(reply: Reply, seq: int) -> str:
    """The text frame of a message, numbered."""
    reply["seq"] = seq
    return orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def ready(session: str, spec: ModelSpec, settings: Settings) -> Reply:
    """The session is open."""
    return {
        "type": "ready",
        "seq": 0,
        "protocol": PROTOCOL_VERSION,
        "session": session,
        "model": {
            "name": spec.name,
            "version": spec.version,
            "labels": spec.labels,
            "sample_rate": spec.sample_rate,
            "hop": spec.hop,
            "layers": [layer.hidden for layer in spec.layers],
        },
        "limits": {
            "max_message_bytes": settings.max_message_bytes,
            "max_buffered_seconds": settings.max_buffered_seconds,
            "idle_timeout_s": settings.idle_timeout_s,
            "max_session_s": settings.max_session_s,
        },
    }


def event(item: Event, sample: int, open_rate: Sequence[float], latency_ms: float) -> Reply:
    """A label began, ended or happened."""
    return {
        "type": "event",
        "seq": 0,
        "label": item.label,
        "kind": item.kind.value,
        "time": item.time,
        "score": round(item.score, 6),
        "sample": sample,
        "open_rate": [round(rate, 6) for rate in open_rate],
        "latency_ms": round(latency_ms, 3),
    }


def marker(name: str) -> Reply:
    """Everything before the marker was processed and reported."""
    return {"type": "marker", "seq": 0, "id": name}


def warning(code: str, message: str) -> Reply:
    """Something to know; the stream goes on."""
    return {"type": "warning", "seq": 0, "code": code, "message": message}


def error(code: ErrorCode, message: str, retry_after: float | None = None) -> Reply:
    """The session is over; a close follows."""
    hint = {} if retry_after is None else {"retry_after_s": round(retry_after, 3)}
    return {
        "type": "error",
        "seq": 0,
        "code": code.value,
        "message": message,
        "retryable": code.retryable,
        **hint,
    }


def sparsity(open_rate: Sequence[float], updates: int, possible: int) -> Reply:
    """The `sparsity` part of a message."""
    return {
        "open_rate": [round(rate, 6) for rate in open_rate],
        "updates": updates,
        "skipped": possible - updates,
        "possible": possible,
    }


def total_sparsity(total: Sparsity) -> Reply:
    """The `sparsity` part for a whole stream."""
    return sparsity(total.open_rate, total.updates, total.possible)
