"""How much one key may do: sessions at a time, requests a minute, seconds of audio an hour.

No I/O; safe to use from several threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from surnn_server.accounts import Account, Level, LocalAccount
from surnn_server.apikeys import KeyLimits
from surnn_server.codes import ErrorCode, Refusal

__all__ = ["Bucket", "Quota"]

Clock = Callable[[], float]


class Bucket:
    """An allowance that fills up steadily.

    Args:
        amount: allowed at once, and again in every period.
        period_s: in which an empty bucket becomes full.
        state: how full it is; one of the same amount goes on from there.
    """

    def __init__(self, amount: float, period_s: float, clock: Clock, state: Level) -> None:
        self._amount = amount
        self._rate = amount / period_s
        self._clock = clock
        self._state = state
        if state.amount != amount:
            state.amount = state.level = amount
            state.filled = clock()

    def take(self, amount: float, least: float = 0.0) -> float:
        """Take from the bucket, or return the seconds until it holds more than `least`.

        One taking may overdraw, so that the size of the pieces decides nothing.
        """
        state, now = self._state, self._clock()
        level = min(self._amount, state.level + (now - state.filled) * self._rate)
        state.filled = now
        taken = level > least or level >= self._amount
        state.level = level - amount if taken else level
        return 0.0 if taken else (least - level) / self._rate + 1e-3


class Quota:
    """What one key has used, by its limits.

    Args:
        limits: 0 means none.
        clock: the monotonic one.
        account: where it is counted; None: here.
    """

    def __init__(
        self, limits: KeyLimits, clock: Clock = time.monotonic, account: Account | None = None
    ) -> None:
        self._account: Account = account or LocalAccount()
        self._clock = clock
        self.limits = limits
        with self._account.lock:
            self._buckets()

    @property
    def sessions(self) -> int:
        """Sessions now."""
        return self._account.sessions

    def change(self, limits: KeyLimits) -> None:
        """Go by other limits from now on; sessions that run go on."""
        with self._account.lock:
            if limits != self.limits:
                self.limits = limits
                self._buckets()

    def _buckets(self) -> None:
        requests, audio = self.limits.requests_per_minute, self.limits.audio_seconds_per_hour
        clock, account = self._clock, self._account
        self._requests = Bucket(requests, 60.0, clock, account.requests) if requests else None
        self._audio = Bucket(audio, 3600.0, clock, account.audio) if audio else None
        self.counts_audio = self._audio is not None
        """Is there a limit on audio? Without one, nobody needs to say how much there was."""

    def request(self) -> None:
        """One more request. Raises `Refusal`."""
        with self._account.lock:
            # Whole requests: what is left of one is none.
            wait = self._requests.take(1.0, 1.0 - 1e-9) if self._requests else 0.0
        if wait:
            raise Refusal(
                ErrorCode.RATE_LIMITED,
                f"more than {self.limits.requests_per_minute:g} requests in a minute, "
                f"expected the next one in {wait:.1f} s",
                retry_after=wait,
            )

    def audio(self, seconds: float) -> None:
        """So much audio came in; 0 asks whether any may. Raises `Refusal`."""
        if self._audio is None:
            return  # asked for every message
        with self._account.lock:
            wait = self._audio.take(seconds) if self._audio else 0.0
        if wait:
            raise Refusal(
                ErrorCode.QUOTA_EXCEEDED,
                f"more than {self.limits.audio_seconds_per_hour:g} seconds of audio in an hour, "
                f"expected none for {wait:.0f} s",
                retry_after=wait,
            )

    def spend(self, seconds: float) -> None:
        """Count audio that was computed already."""
        with self._account.lock:
            if self._audio:
                self._audio.take(seconds, float("-inf"))

    def check_jobs(self, running: int) -> None:
        """May one more job come beside so many? Raises `Refusal`."""
        limit = self.limits.max_jobs
        if limit and running >= limit:
            raise Refusal(
                ErrorCode.QUOTA_EXCEEDED,
                f"{running} jobs of this key wait or run, expected at most {limit}",
            )

    def enter(self) -> None:
        """A session begins; give its place back with `leave`. Raises `Refusal`."""
        with self._account.lock:
            limit, sessions = self.limits.max_sessions, self._account.sessions
            if limit and sessions >= limit:
                raise Refusal(
                    ErrorCode.QUOTA_EXCEEDED,
                    f"{sessions} sessions of this key run, expected at most {limit}",
                )
            self._account.add_sessions(1)

    def leave(self) -> None:
        """A session that `enter` let in is gone."""
        with self._account.lock:
            self._account.add_sessions(-1)
