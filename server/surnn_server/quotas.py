"""How much one key may do: sessions at a time, requests a minute, seconds of audio an hour.

No I/O; safe to use from several threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from surnn_server.apikeys import KeyLimits
from surnn_server.codes import ErrorCode, Refusal

__all__ = ["Bucket", "Quota"]

Clock = Callable[[], float]


class Bucket:
    """An allowance that fills up steadily.

    Args:
        amount: allowed at once, and again in every period.
        period_s: in which an empty bucket becomes full.
    """

    def __init__(self, amount: float, period_s: float, clock: Clock = time.monotonic) -> None:
        self._amount = amount
        self._rate = amount / period_s
        self._clock = clock
        self._level = amount
        self._filled = clock()

    def take(self, amount: float, least: float = 0.0) -> float:
        """Take from the bucket, or return the seconds until it holds more than `least`.

        One taking may overdraw, so that the size of the pieces decides nothing.
        """
        now = self._clock()
        self._level = min(self._amount, self._level + (now - self._filled) * self._rate)
        self._filled = now
        if self._level > least or self._level >= self._amount:
            self._level -= amount
            return 0.0
        return (least - self._level) / self._rate + 1e-3


class Quota:
    """What one key has used."""

    def __init__(self, limits: KeyLimits, clock: Clock = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self.sessions = 0
        """Sessions now."""
        self.limits = limits
        self._buckets()

    def change(self, limits: KeyLimits) -> None:
        """Go by other limits from now on; sessions that run go on."""
        with self._lock:
            if limits != self.limits:
                self.limits = limits
                self._buckets()

    def _buckets(self) -> None:
        requests, audio = self.limits.requests_per_minute, self.limits.audio_seconds_per_hour
        self._requests = Bucket(requests, 60.0, self._clock) if requests else None
        self._audio = Bucket(audio, 3600.0, self._clock) if audio else None

    def request(self) -> None:
        """One more request. Raises `Refusal`."""
        with self._lock:
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
        with self._lock:
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
        with self._lock:
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
        with self._lock:
            limit = self.limits.max_sessions
            if limit and self.sessions >= limit:
                raise Refusal(
                    ErrorCode.QUOTA_EXCEEDED,
                    f"{self.sessions} sessions of this key run, expected at most {limit}",
                )
            self.sessions += 1

    def leave(self) -> None:
        """A session that `enter` let in is gone."""
        with self._lock:
            self.sessions -= 1
