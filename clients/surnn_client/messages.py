"""What the server says, as types. Times are seconds from the start of the stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "Checkpoint",
    "Chunk",
    "Cost",
    "Error",
    "EventMessage",
    "LabelProbs",
    "Limits",
    "Marker",
    "Message",
    "ModelInfo",
    "Ready",
    "Reconnected",
    "Sparsity",
    "StreamInfo",
    "Summary",
    "Warning_",
]


@dataclass(frozen=True, slots=True)
class Sparsity:
    """How much of the network was updated: `updates + skipped == possible`, in neurons x frames."""

    open_rate: tuple[float, ...]
    """Share of open switches, for each recurrent layer."""
    updates: int
    skipped: int
    possible: int
    frames: tuple[tuple[float, ...], ...] | None = None
    """With `report="frame"`: the open rate of every frame, one row for each layer."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What the server spent."""

    compute_ms: float
    realtime_factor: float
    """Seconds of stream handled in one second of computing."""
    queue_ms: float | None = None
    batch: int | None = None
    """Sessions that were computed together."""


@dataclass(frozen=True, slots=True)
class LabelProbs:
    """Probabilities of one label in one chunk."""

    mean: float
    max: float
    frames: tuple[float, ...] | None = None
    """With `report="frame"`: the probability in every frame."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model behind a stream."""

    name: str
    version: str
    labels: tuple[str, ...]
    sample_rate: int
    hop: int
    """Samples per frame."""
    layers: tuple[int, ...]
    """Neurons of each recurrent layer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one session may do. 0 means no limit."""

    max_message_bytes: int
    max_buffered_seconds: float
    idle_timeout_s: float
    max_session_s: float
    checkpoint_interval_s: float = 0.0
    """Of stream or of time, between checkpoints; 0: there are none."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """How the server reads what is sent."""

    encoding: str
    sample_rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The session is open."""

    seq: int
    protocol: int
    session: str
    model: ModelInfo
    limits: Limits
    stream: StreamInfo | None = None
    resumed: bool = False
    """Does the stream go on from a token? Then from here:"""
    position: int = 0
    """The first sample that the server wants."""
    frames: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Probabilities, sparsity and cost of a piece of the stream."""

    seq: int
    start: float
    end: float
    first_sample: int
    """Sample numbers count at the stream's own rate."""
    end_sample: int
    frames: int
    probs: Mapping[str, LabelProbs]
    sparsity: Sparsity
    cost: Cost

    def __str__(self) -> str:
        probs = ", ".join(f"{label} {p.mean:.2f}" for label, p in self.probs.items())
        return f"{self.start:8.2f} s  {probs}  open {_percents(self.sparsity.open_rate)}"


@dataclass(frozen=True, slots=True)
class EventMessage:
    """A label began (`kind` "start"), ended ("end") or happened ("point")."""

    seq: int
    label: str
    kind: str
    time: float
    score: float
    sample: int
    open_rate: tuple[float, ...]
    latency_ms: float
    """From the arrival of the data that decided the event to its sending."""
    number: int = 0
    """Counts the events of a stream from 1, through all of its connections."""

    def __str__(self) -> str:
        return f"{self.time:8.2f} s  {self.label} {self.kind}  score {self.score:.2f}"


@dataclass(frozen=True, slots=True)
class Marker:
    """Everything sent before the marker of this id was processed and reported."""

    seq: int
    id: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The session as it stands: everything before `position` has been reported.

    The clients keep the newest and go on from it; iterating over a stream does not give it.
    """

    seq: int
    position: int
    """Samples at the stream's own rate: what comes next is this one."""
    frames: int
    events: int
    token: str
    replaced_position: int | None = None
    """Whoever runs the server has put another state in place of the session's, at this sample of
    what was sent: it counts as sample `position` from now on."""


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The connection was lost, and the stream goes on over another one.

    Made by the clients. Nothing is missing and nothing comes twice; `seq` counts anew.
    """

    url: str
    reason: str
    """`code` of the error that ended the old connection."""
    attempts: int
    position: int
    """The sample from which everything was sent again."""


@dataclass(frozen=True, slots=True)
class Warning_:
    """Something to know; the stream goes on."""

    seq: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Error:
    """The session ends here. The clients raise it as a `ServerError`."""

    seq: int
    code: str
    message: str
    retryable: bool
    checkpoint: Checkpoint | None = None
    """From where the stream can go on."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The stream is complete."""

    seq: int
    reason: str
    seconds: float
    samples: int
    frames: int
    events: int
    sparsity: Sparsity
    cost: Cost

    def __str__(self) -> str:
        return (
            f"{self.seconds:8.2f} s  end of stream: {self.events} events,"
            f" open {_percents(self.sparsity.open_rate)},"
            f" {self.sparsity.skipped} of {self.sparsity.possible} updates skipped"
        )


Message = (
    Ready | Chunk | EventMessage | Marker | Checkpoint | Reconnected | Warning_ | Error | Summary
)


def _percents(rates: tuple[float, ...]) -> str:
    return " ".join(f"{rate:.0%}" for rate in rates)
