"""When a connection is given up: nothing starts, nothing is said, it lasts, nothing is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from surnn_server.codes import ErrorCode
from surnn_server.settings import Settings
from surnn_server.timers import Timer, Timers

__all__ = ["Deadlines"]


class Deadlines:
    """The clocks of one connection, on the event loop.

    Args:
        settings: the limits.
        fail: ends the connection with an error.
    """

    def __init__(self, settings: Settings, fail: Callable[[ErrorCode, str], None]) -> None:
        self._settings = settings
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._timers = Timers()
        if settings.idle_timeout_s:
            self._timers.after(Timer.IDLE, settings.idle_timeout_s, self._check_idle)

    def heard(self) -> None:
        """The client said something, or could not."""
        self._heard = self._loop.time()

    def connected(self) -> None:
        """A `start` has to come soon."""
        limit = self._settings.start_timeout_s
        if limit:
            message = f"no 'start' came for {limit:g} s"
            self._timers.after(
                Timer.START, limit, lambda: self._fail(ErrorCode.START_TIMEOUT, message)
            )

    def started(self) -> None:
        """The session may last so long."""
        self._timers.stop(Timer.START)
        limit = self._settings.max_session_s
        if limit:
            message = f"the session lasted {limit:g} s, its limit"
            self._timers.after(
                Timer.DURATION, limit, lambda: self._fail(ErrorCode.MAX_DURATION, message)
            )

    def said_all(self) -> None:
        """The client needs to say nothing more."""
        self._timers.stop(Timer.IDLE)

    def suspending(self, give_up: Callable[[], None]) -> None:
        """The session is being saved. The worker may be stuck: who ends cannot wait for it."""
        self._timers.after(Timer.SUSPENSION, self._settings.close_timeout_s, give_up)

    def last_messages(self, sent: Callable[[], int], cut: Callable[[], None]) -> None:
        """From now on, cut a client off that reads nothing for a while; `sent` counts messages."""
        before = sent()

        def check() -> None:
            if sent() == before:
                cut()
            else:
                self.last_messages(sent, cut)

        self._timers.after(Timer.LAST_MESSAGES, self._settings.close_timeout_s, check)

    def cancel(self) -> None:
        """The connection is over."""
        self._timers.cancel()

    def _check_idle(self) -> None:
        limit = self._settings.idle_timeout_s
        silence = self._loop.time() - self._heard
        if silence >= limit:
            self._fail(ErrorCode.IDLE_TIMEOUT, f"nothing was sent for {limit:g} s")
        else:
            self._timers.after(Timer.IDLE, limit - silence, self._check_idle)
