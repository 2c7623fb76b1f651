"""One session as the event loop and the worker that computes it both see it.

Each field of a `Line` is written by one side only: the loop puts items in and may hang up; the
worker takes items out and answers with outputs.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, auto

from surnn.engine import Session, StreamConfig
from surnn.snapshot import Snapshot
from surnn_server.items import Data, Gap, Item
from surnn_server.outputs import Output
from surnn_server.scheduling import Priority

__all__ = ["Line", "LineState"]


class LineState(Enum):
    """How far the worker has got with a session."""

    NEW = auto()
    OPEN = auto()
    ENDING = auto()
    """All items were taken in, some frames wait to be computed."""
    CLOSED = auto()


class Line:
    """One session between the event loop and its worker."""

    def __init__(
        self,
        config: StreamConfig,
        deliver: Callable[[Sequence[Output]], None],
        priority: Priority = Priority.NORMAL,
        id: str = "",
        *,
        snapshot: Snapshot | None = None,
        checkpoint_interval_s: float = 0.0,
    ) -> None:
        self.config = config
        self.priority = priority
        self.id = id
        """Names the session in logs."""
        self.snapshot = snapshot
        """Where the session goes on, if it does not begin; the configuration is then the same."""
        self.checkpoint_interval_s = checkpoint_interval_s
        """Seconds, of stream or of the clock, between checkpoints; 0: none."""
        # Written by the loop.
        self.deliver = deliver
        """Called on the event loop, in order."""
        self.hung_up = False
        """Nobody waits for outputs any more."""
        self.checkpoint_asked = False
        """A checkpoint is wanted now; the worker takes the wish back when it has one."""
        self.replacements: deque[Snapshot] = deque()
        """States to go on from instead of its own; the worker takes them from the front."""
        self.suspending = False
        """Take in nothing more: save the session and free its slot."""
        self.accepted_bytes = 0
        self.dropped_bytes = 0
        """Of these, what `drop_oldest` took back."""
        # A deque's append and popleft are atomic: each side owns one end.
        self.inbox: deque[Item] = deque()
        # Held by whoever takes from the front: the worker, or the loop when it drops.
        self.front = threading.Lock()
        # Written by the worker.
        self.state = LineState.NEW
        self.session: Session | None = None
        self.saved_position = 0
        """Of the newest checkpoint."""
        self.turn_bytes = 0
        """Taken in by one turn at most."""
        self.pushed = (0, 0)
        """Bytes that the session took in so far, and the frames that it had all data of.

        One value, so that the loop never sees bytes gone whose frames are not counted yet.
        """
        self.dropped = 0
        self.end_arrived = 0.0
        self.checkpoint_at = (0.0, 0)
        """When the next checkpoint is due: by `time.perf_counter()`, and by position."""
        self.checkpoint_due = False
        self.arrivals: deque[tuple[int, float]] = deque()
        """(frame number, arrival of the data that completed the frames below it)."""
        # Written under the worker's lock.
        self.queued = False

    @property
    def saving(self) -> bool:
        """Is a checkpoint to be taken, or put in place, as soon as no frame waits?"""
        return self.checkpoint_due or self.checkpoint_asked or bool(self.replacements)

    @property
    def has_work(self) -> bool:
        """Is there something for the worker to do in its next turn?"""
        session = self.session
        return session is not None and bool(
            self.inbox or self.suspending or session.ready or self.saving
        )

    def waiting(self, frame_bytes: float) -> float:
        """Bytes that were not computed yet, in the inbox or as frames of so many bytes each."""
        size, frames = self.pushed
        # Read second: a session that opens in between has all that counts still to come.
        session = self.session
        computing = 0 if session is None else max(0, frames - session.frames)
        return self.accepted_bytes - self.dropped_bytes - size + computing * frame_bytes

    def take(self, item: Item, rest: Item | None = None) -> bool:
        """Take the item from the front of the inbox, unless it was dropped meanwhile.

        What is left of it goes back to the front.
        """
        with self.front:
            if not self.inbox or self.inbox[0] is not item:
                return False
            self.inbox.popleft()
            if rest is not None:
                self.inbox.appendleft(rest)
            return True

    def drop_oldest(self, size: int) -> int:
        """Turn the oldest messages of samples into gaps, until at least `size` bytes are gone.

        Returns how many are. Markers keep their places.
        """
        dropped = 0
        kept: list[Item] = []
        with self.front:
            while dropped < size and self.inbox:
                item = self.inbox.popleft()
                if isinstance(item, Data):
                    dropped += len(item.payload)
                    item = Gap(len(item.payload), item.arrived)
                last = kept[-1] if kept else None
                if isinstance(item, Gap) and isinstance(last, Gap):
                    kept[-1] = Gap(last.size + item.size, last.arrived)
                else:
                    kept.append(item)
            self.inbox.extendleft(reversed(kept))
            self.dropped_bytes += dropped
        return dropped
