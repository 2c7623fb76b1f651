"""What the event loop hands to the worker, in the order in which the client sent it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Data", "EndOfStream", "FlushAt", "Gap", "Item", "MarkAt"]


@dataclass(slots=True, eq=False)
class Data:
    """Samples as they arrived. Not frozen, because there are so many."""

    payload: bytes | memoryview
    arrived: float
    """`time.perf_counter()` at arrival."""


@dataclass(frozen=True, slots=True)
class MarkAt:
    """Say when everything before this is done."""

    id: str
    save: bool = False
    """And what the session remembers then."""


@dataclass(frozen=True, slots=True)
class FlushAt:
    """Report what is being merged, once everything before this is done."""


@dataclass(frozen=True, slots=True)
class EndOfStream:
    """No more items follow."""

    arrived: float


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples that were dropped: their time passes all the same."""

    size: int
    """Bytes."""
    arrived: float


Item = Data | Gap | MarkAt | FlushAt | EndOfStream
