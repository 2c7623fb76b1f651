"""The shapes that travel through surnn, and the letters that name their dimensions.

B  batch: sessions that run together in one call
T  time: frames, one per hop
F  features of one frame as the recurrent layers see them
S  samples of one frame as the model receives them: hop x channels
L  recurrent layers
H  hidden neurons of one layer
K  clock frequencies shared by the neurons of one layer
C  classes: labels that the head scores

A *frame* is one hop of input and the probabilities computed from it. Frame ``i`` covers the
samples ``[i * hop, (i + 1) * hop)`` of the stream at the model's rate. Its answer comes once the
model's ``lookahead`` further frames have arrived.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["ChunkResult", "Event", "EventKind", "Float32", "Int64", "Sparsity"]

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


class EventKind(StrEnum):
    """What an event marks: the start or the end of a label's span, or one moment."""

    START = "start"
    END = "end"
    POINT = "point"


@dataclass(frozen=True, slots=True)
class Event:
    """A label began, ended or happened."""

    label: str
    kind: EventKind
    time: float
    """Seconds from the start of the stream."""
    score: float
    """START: probability at the decision. END: peak probability of the span."""


@dataclass(frozen=True, slots=True)
class Sparsity:
    """How much of the network the frames of one result updated.

    An *update* is one neuron computed and written in one frame. ``updates + skipped ==
    possible`` always holds.
    """

    open_rate: tuple[float, ...]
    """Share of open switches, for each recurrent layer [L]."""
    updates: int
    possible: int
    bytes_written: int = 0
    """State that open switches let be written, in bytes. A runtime that skips writes no more."""
    bytes_possible: int = 0
    """What would be written if every switch were open."""

    @property
    def bytes_skipped(self) -> int:
        """State that closed switches left as it was."""
        return self.bytes_possible - self.bytes_written

    @property
    def skipped(self) -> int:
        """Neuron updates that closed switches saved."""
        return self.possible - self.updates


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What the model found in one run of consecutive frames."""

    start: float
    """Seconds from the start of the stream to the first frame."""
    end: float
    """Seconds from the start of the stream to the end of the last frame."""
    first_frame: int
    probs: Float32
    """Probabilities [T, C], in the order of the model's labels."""
    open_rates: Float32
    """Share of open switches in each frame and layer [T, L]."""
    events: tuple[Event, ...]
    sparsity: Sparsity
    compute_ms: float
    """Time of the runtime call that computed this, shared equally by the sessions of its batch."""

    @property
    def frames(self) -> int:
        """How many frames this result covers (T)."""
        return int(self.probs.shape[0])

    @property
    def realtime_factor(self) -> float:
        """Seconds of stream handled in one second of computing."""
        return (self.end - self.start) / max(self.compute_ms / 1000.0, 1e-9)
