"""What the worker answers, in the order of the items that caused it."""

from __future__ import annotations

from dataclasses import dataclass

from surnn import ChunkResult, Event, Sparsity
from surnn_server.codes import ErrorCode
from surnn_server.saved import Checkpointed, NotReplaced, Replaced, Suspended

__all__ = [
    "Computed",
    "Ended",
    "Failed",
    "Flushed",
    "Marked",
    "Notice",
    "Opened",
    "Output",
    "Skipped",
]


@dataclass(frozen=True, slots=True)
class Opened:
    """The session has a slot."""


@dataclass(slots=True, eq=False)
class Computed:
    """Frames were computed. Not frozen, because there are so many."""

    result: ChunkResult
    position: int
    """Samples of the stream taken in so far, at its own rate."""
    arrived: float
    """When the oldest data that completed one of these frames arrived."""
    queue_ms: float
    """From that arrival to the start of the runtime call."""
    batch: int
    """Sessions in that call."""


@dataclass(frozen=True, slots=True)
class Marked:
    """Everything before the marker is done."""

    id: str
    saved: Checkpointed | None = None
    """The session as it stands, if that was asked for and could be done."""


@dataclass(frozen=True, slots=True)
class Flushed:
    """Everything before the flush is done."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream is complete, and its slot is free."""

    events: tuple[Event, ...]
    """End events for the spans that were open."""
    position: int
    frames: int
    sparsity: Sparsity
    dropped: int
    """Bytes of a split sample that never became whole."""
    arrived: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The session is over, and its slot is free."""

    code: ErrorCode
    message: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A gap was passed over."""

    first_sample: int
    """At the stream's own rate."""
    samples: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the client should know; made by the loop."""

    code: str
    message: str


Output = (
    Opened
    | Computed
    | Skipped
    | Notice
    | Marked
    | Flushed
    | Checkpointed
    | Replaced
    | NotReplaced
    | Suspended
    | Ended
    | Failed
)
