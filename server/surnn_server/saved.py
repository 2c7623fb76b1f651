"""What the worker answers when it has saved a session."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Checkpointed", "NotReplaced", "Replaced", "Suspended"]


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """The session was saved as it stands after all outputs so far."""

    token: str
    position: int
    """Samples taken in: what comes next is this sample."""
    frames: int
    """Reported so far."""
    events: int


@dataclass(frozen=True, slots=True)
class Replaced:
    """The session stands elsewhere from here on."""

    checkpoint: Checkpointed
    position: int
    """Where it stood before."""


@dataclass(frozen=True, slots=True)
class NotReplaced:
    """The state does not fit: the session goes on as it was."""

    message: str


@dataclass(frozen=True, slots=True)
class Suspended:
    """The session was given up while it is whole, and its slot is free."""

    checkpoint: Checkpointed | None
    """None: it could not be saved."""
