"""The clocks of a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto

__all__ = ["Timer", "Timers"]


class Timer(Enum):
    """What a connection waits for."""

    START = auto()
    IDLE = auto()
    DURATION = auto()
    LAST_MESSAGES = auto()
    SUSPENSION = auto()


class Timers:
    """One call for each kind of timer, on the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: dict[Timer, asyncio.TimerHandle] = {}

    def after(self, timer: Timer, seconds: float, action: Callable[[], None]) -> None:
        """Call once the time is over, instead of what the timer was set to before."""
        if timer in self._calls:
            self._calls[timer].cancel()
        self._calls[timer] = self._loop.call_later(seconds, action)

    def stop(self, timer: Timer) -> None:
        """Do not call for this one."""
        if timer in self._calls:
            self._calls.pop(timer).cancel()

    def cancel(self) -> None:
        """Call nothing any more."""
        for call in self._calls.values():
            call.cancel()
