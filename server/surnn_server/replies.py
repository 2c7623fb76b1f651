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
from surnn.engine import StreamConfig
from surnn.snapshot import StreamState
from surnn_server.codes import ErrorCode
from surnn_server.outputs import Skipped
from surnn_server.saved import Checkpointed, Replaced
from surnn_server.settings import Settings

__all__ = [
    "PROTOCOL_VERSION",
    "Reply",
    "checkpoint",
    "dropped",
    "encode",
    "error",
    "event",
    "marker",
    "ready",
    "replaced",
    "sparsity",
    "warning",
]

PROTOCOL_VERSION = 1
Reply = dict[str, Any]


def encode(reply: Reply, seq: int) -> bytes:
    """The text frame of a message, numbered."""
    reply["seq"] = seq
    return orjson.dumps(reply, option=orjson.OPT_SERIALIZE_NUMPY)


def ready(
    session: str,
    spec: ModelSpec,
    config: StreamConfig,
    settings: Settings,
    *,
    checkpoint_interval_s: float = 0.0,
    resumed: StreamState | None = None,
) -> Reply:
    """The session is open; `config` and the interval are what it got, not what was asked."""
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
        "stream": {
            "encoding": config.encoding.value,
            "sample_rate": config.sample_rate,
            "channels": config.channels,
        },
        "resumed": resumed is not None,
        "position": resumed.position if resumed else 0,
        "frames": max(0, resumed.frames - spec.lookahead) if resumed else 0,
        "events": resumed.events if resumed else 0,
        "limits": {
            "max_message_bytes": settings.max_message_bytes,
            "max_buffered_seconds": settings.max_buffered_seconds,
            "idle_timeout_s": settings.idle_timeout_s,
            "max_session_s": settings.max_session_s,
            "checkpoint_interval_s": checkpoint_interval_s,
        },
    }


def event(
    item: Event, number: int, sample: int, open_rate: Sequence[float], latency_ms: float
) -> Reply:
    """A label began, ended or happened: the stream's event of that number."""
    return {
        "type": "event",
        "seq": 0,
        "number": number,
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


def dropped(gap: Skipped, rate: int) -> Reply:
    """Samples that waited too long are gone; `rate` is that of the stream, in Hz."""
    end = gap.first_sample + gap.samples
    return {
        **warning(
            "dropped",
            f"{gap.samples / rate:.3f} s of samples dropped, expected to be sent no faster than "
            "they are computed",
        ),
        "first_sample": gap.first_sample,
        "end_sample": end,
        "start": round(gap.first_sample / rate, 6),
        "end": round(end / rate, 6),
    }


def checkpoint(item: Checkpointed) -> Reply:
    """The session as it stands: everything before `position` has been reported."""
    return {
        "type": "checkpoint",
        "seq": 0,
        "position": item.position,
        "frames": item.frames,
        "events": item.events,
        "token": item.token,
    }


def replaced(item: Replaced) -> list[Reply]:
    """The session stands elsewhere from here on: somebody has put another state in its place."""
    saved = item.checkpoint
    note = warning(
        "state_replaced",
        f"sample {saved.position} comes next instead of sample {item.position}: the state of the "
        "stream was replaced",
    )
    return [checkpoint(saved) | {"replaced_position": item.position}, note]


def error(
    code: ErrorCode,
    message: str,
    retry_after: float | None = None,
    saved: Checkpointed | None = None,
) -> Reply:
    """The session is over, and goes on from `saved` if the client wants that; a close follows."""
    reply: Reply = {
        "type": "error",
        "seq": 0,
        "code": code.value,
        "message": message,
        "retryable": code.retryable or saved is not None,
    }
    if retry_after is not None:
        reply["retry_after_s"] = round(retry_after, 3)
    if saved is not None:
        reply |= checkpoint(saved) | {"type": "error"}
    return reply


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
