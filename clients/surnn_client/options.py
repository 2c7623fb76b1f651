"""What a client may ask for. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import orjson

__all__ = ["PROTOCOL_VERSION", "Overflow", "Priority", "Report", "StreamOptions", "control"]

PROTOCOL_VERSION = 1
Report = Literal["events", "chunk", "frame"]
Overflow = Literal["error", "drop_oldest", "block"]
Priority = Literal["low", "normal", "high"]


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """The fields of `start`. None leaves the choice to the server and the model."""

    model: str = "vad"
    encoding: str | None = None
    """How bytes are read: pcm_s16le, pcm_f32le, mulaw, alaw, f32le, ..."""
    sample_rate: int | None = None
    channels: int | None = None
    report: Report | None = None
    report_interval_ms: float | None = None
    """Least stream time that one `Chunk` covers. To know that the server keeps up, the client
    asks for a report after a quarter of what it buffers, so that longer intervals end there."""
    thresholds: Mapping[str, Mapping[str, float]] | None = None
    overflow: Overflow | None = None
    """What the server does with samples that it has no room for."""
    priority: Priority | None = None
    checkpoint_interval_s: float | None = None
    resume: str | None = None
    """The token of a checkpoint to go on from."""
    reported_frames: int | None = None
    """The first frame that no known chunk has covered."""

    def start(self) -> str:
        """The `start` message."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return control("start", **given)


def control(kind: str, **fields: object) -> str:
    """A message of the client."""
    return orjson.dumps({"type": kind, **fields}).decode()
