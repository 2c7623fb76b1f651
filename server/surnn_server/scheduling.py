"""Whose turn it is, and when there is no room for more. No I/O, no threads."""

from __future__ import annotations

import heapq
import itertools
import math
from enum import StrEnum
from typing import Generic, TypeVar

__all__ = ["LoadGate", "Priority", "RunQueue"]

T = TypeVar("T")


class Priority(StrEnum):
    """How long a stream can wait for its turn while others cannot."""

    LOW = "low", 1.0
    NORMAL = "normal", 0.1
    HIGH = "high", 0.0

    slack_s: float
    """Seconds from having work to the deadline of the turn."""

    def __new__(cls, value: str, slack_s: float) -> Priority:
        member = str.__new__(cls, value)
        member._value_ = value
        member.slack_s = slack_s
        return member


class RunQueue(Generic[T]):
    """Earliest deadline first.

    Deadlines are moments and do not move: whoever has waited long enough comes before everyone
    who came later, so no priority can starve another. Work that is left after a turn counts as
    new, so that a long backlog is no advantage.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, float, T]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, item: T, priority: Priority, now: float) -> None:
        """The item has work since now."""
        heapq.heappush(self._heap, (now + priority.slack_s, next(self._order), now, item))

    def take(self, most: int) -> tuple[list[T], float]:
        """The items whose turn it is, and since when the first of them waits."""
        heap, first = self._heap, math.inf
        items: list[T] = []
        while heap and len(items) < most:
            _, _, since, item = heapq.heappop(heap)
            items.append(item)
            first = min(first, since)
        return items, first


class LoadGate:
    """Closed while new streams would make those that run wait too long.

    Looks at the share of time spent computing and at the wait for a turn, both smoothed over
    about `memory_s`. It closes above a bound and opens again below `reopen` of it, so that it does
    not flap. A bound of 0 is not looked at.
    """

    def __init__(
        self,
        *,
        max_wait_s: float,
        max_share: float = 0.0,
        memory_s: float = 2.0,
        reopen: float = 0.6,
    ) -> None:
        self.closed = False
        self.wait_s = 0.0
        """Smoothed wait for a turn."""
        self.share = 0.0
        """Smoothed share of time spent computing."""
        self._max_wait = max_wait_s
        self._max_share = max_share
        self._memory = memory_s
        self._reopen = reopen
        self._at: float | None = None

    def round(self, began: float, ended: float, wait_s: float) -> None:
        """A round of computing ran from `began` to `ended`; its turns had waited for `wait_s`."""
        self._pass(began, 0.0, 0.0)
        self._pass(ended, 1.0, wait_s)
        self._decide()

    def look(self, now: float) -> bool:
        """May a new stream come now?"""
        # Copies: the worker moves these while the event loop looks.
        at, wait, share = self._at, self.wait_s, self.share
        if at is not None and now > at:
            kept = math.exp((at - now) / self._memory)
            wait, share = wait * kept, share * kept
        return not self._is_closed(wait, share)

    def _pass(self, now: float, share: float, wait_s: float) -> None:
        if self._at is not None and now > self._at:
            kept = math.exp((self._at - now) / self._memory)
            self.share = self.share * kept + share * (1.0 - kept)
            self.wait_s = self.wait_s * kept + wait_s * (1.0 - kept)
        self._at = now if self._at is None else max(self._at, now)

    def _decide(self) -> None:
        self.closed = self._is_closed(self.wait_s, self.share)

    def _is_closed(self, wait_s: float, share: float) -> bool:
        factor = self._reopen if self.closed else 1.0
        too_slow = self._max_wait > 0.0 and wait_s > self._max_wait * factor
        too_busy = self._max_share > 0.0 and share > self._max_share * factor
        return too_slow or too_busy
