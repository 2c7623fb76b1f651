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

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["ChunkResult", "Event", "EventKind", "Float32", "Int64", "Sparsity", "open_rates"]

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


def open_rates(updates: Sequence[int], hidden: Sequence[int], frames: int) -> tuple[float, ...]:
    """Share of open switches [L] where layers of these sizes [L] did these updates [L]."""
    if not frames:
        return (0.0,) * len(hidden)
    return tuple([n / (size * frames) for n, size in zip(updates, hidden, strict=True)])


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

    @classmethod
    def of(
        cls,
        updates: Sequence[int],
        hidden: Sequence[int],
        frames: int,
        neuron_bytes: Sequence[int],
    ) -> Sparsity:
        """Of the updates [L] that layers of these sizes [L] did in so many frames.

        `neuron_bytes` [L] is the state that each neuron of a layer carries.
        """
        rates = tuple(
            [
                n / (size * frames) if frames else 0.0
                for n, size in zip(updates, hidden, strict=True)
            ]
        )
        return cls(
            rates,
            sum(updates),
            sum(hidden) * frames,
            sum([n * size for n, size in zip(updates, neuron_bytes, strict=True)]),
            sum([n * size for n, size in zip(hidden, neuron_bytes, strict=True)]) * frames,
        )

    @property
    def skipped(self) -> int:
        """Neuron updates that closed switches saved."""
        return self.possible - self.updates


@dataclass(slots=True, eq=False)
class ChunkResult:
    """What the model found in one run of consecutive frames. Not to be changed.

    A server makes ten thousand of these a second: what can be derived is a property, and a frozen
    class would take three times as long to make.
    """

    start: float
    """Seconds from the start of the stream to the first frame."""
    end: float
    """Seconds from the start of the stream to the end of the last frame."""
    first_frame: int
    probs: Float32
    """Probabilities [T, C], in the order of the model's labels."""
    opened: Float32
    """Neurons that were updated in each frame and layer [T, L]: whole numbers."""
    hidden: tuple[int, ...]
    """Neurons of each layer [L]."""
    neuron_bytes: tuple[int, ...]
    """Bytes of state that each neuron of a layer carries [L]."""
    updates: tuple[int, ...]
    """Neuron updates done for each layer [L], also in frames that no result covers yet."""
    computed: int
    """Frames that `updates` belong to: at least T, more at the start of a stream by the model's
    lookahead."""
    events: tuple[Event, ...]
    compute_ms: float
    """Time of the runtime call that computed this, shared equally by the sessions of its batch."""
    summary: tuple[Float32, Float32] | None = None
    """Mean and highest probability of each label [C], where they are known already."""

    @property
    def frames(self) -> int:
        """How many frames this result covers (T)."""
        return len(self.probs)

    @property
    def open_rates(self) -> Float32:
        """Share of open switches in each frame and layer [T, L]."""
        hidden: Float32 = np.array(self.hidden, np.float32)
        rates: Float32 = self.opened / hidden
        return rates

    @property
    def sparsity(self) -> Sparsity:
        """How much of the network was updated."""
        return Sparsity.of(self.updates, self.hidden, self.computed, self.neuron_bytes)

    @property
    def mean_probs(self) -> Float32:
        """Mean probability of each label [C]; there has to be a frame."""
        if self.summary is not None:
            return self.summary[0]
        mean: Float32 = np.add.reduce(self.probs) / np.float32(len(self.probs))
        return mean

    @property
    def peak_probs(self) -> Float32:
        """Highest probability of each label [C]; there has to be a frame."""
        if self.summary is not None:
            return self.summary[1]
        peak: Float32 = np.maximum.reduce(self.probs)
        return peak

    @property
    def realtime_factor(self) -> float:
        """Seconds of stream handled in one second of computing."""
        return (self.end - self.start) / max(self.compute_ms / 1000.0, 1e-9)
