"""What clients may say, as types. No I/O."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from surnn import Encoding
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.scheduling import Priority

__all__ = [
    "ClientMessage",
    "End",
    "Flush",
    "Keepalive",
    "Marker",
    "Overflow",
    "Report",
    "Start",
    "parse",
]


class Report(StrEnum):
    """How much a client wants to be told."""

    EVENTS = "events"
    CHUNK = "chunk"
    FRAME = "frame"


class Overflow(StrEnum):
    """What happens to samples that there is no room for."""

    ERROR = "error"
    """The stream ends with `sent_too_fast`."""
    DROP_OLDEST = "drop_oldest"
    """What has waited longest becomes a gap; its time passes."""
    BLOCK = "block"
    """Nothing more is read until there is room: the network pushes back."""


class _Message(BaseModel):
    # A field that is not known is a typing mistake, not an option to be passed over.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Start(_Message):
    """Opens the session. Comes first, once."""

    type: Literal["start"]
    model: str = Field(default="vad", max_length=256)
    encoding: Encoding | None = None
    """None: pcm_s16le for audio, f32le for sensors."""
    sample_rate: int | None = Field(default=None, gt=0)
    """None: the model's."""
    channels: int | None = Field(default=None, gt=0)
    """None: the model's."""
    report: Report = Report.CHUNK
    report_interval_ms: float = Field(default=0.0, ge=0.0, le=3_600_000.0)
    thresholds: dict[str, dict[str, float]] = Field(default_factory=dict)
    overflow: Overflow = Overflow.ERROR
    priority: Priority = Priority.NORMAL
    checkpoint_interval_s: float | None = Field(default=None, ge=0.0, le=86_400.0)
    """None: the server's. 0: no checkpoints."""
    resume: str | None = None
    """The token of a checkpoint: go on from there."""
    reported_frames: int = Field(default=0, ge=0)
    """The first frame that no chunk of the client's has covered."""


class Marker(_Message):
    """To be echoed once everything before it has been processed and reported."""

    type: Literal["marker"]
    id: str = Field(max_length=256)


class Flush(_Message):
    """Asks for what is being merged."""

    type: Literal["flush"]


class Keepalive(_Message):
    """Keeps an idle session."""

    type: Literal["keepalive"]


class End(_Message):
    """The stream is complete."""

    type: Literal["end"]


ClientMessage = Start | Marker | Flush | Keepalive | End

_ADAPTER: TypeAdapter[ClientMessage] = TypeAdapter(
    Annotated[ClientMessage, Field(discriminator="type")]
)


def parse(text: str) -> ClientMessage:
    """The message in a text frame. Raises `Refusal`."""
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        reason = _reason(problem["msg"])
        if problem["type"] == "json_invalid":
            seen = f"text frame is {_short(text)!r}"
            raise Refusal(ErrorCode.INVALID_JSON, f"{seen}, expected JSON: {reason}") from error
        # The first part of the location is the message type that the others belong to.
        tag, *where = problem["loc"] or ("",)
        code = ErrorCode.INVALID_CONFIG if tag == "start" else ErrorCode.INVALID_MESSAGE
        field = ".".join(str(part) for part in where) or "message"
        seen = f"{field} is {_short(repr(problem['input']))}"
        raise Refusal(code, f"{seen}, {reason}") from error


def _reason(text: str) -> str:
    text = text.removeprefix("Invalid JSON: ").replace("Input should be ", "expected ")
    return text[0].lower() + text[1:]


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
