"""How long and how often a client tries to go on with a stream whose connection was lost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from surnn_client.address import stream_url
from surnn_client.exceptions import ClientError, InvalidArgument
from surnn_client.messages import Ready
from surnn_client.samples import WIDTH
from surnn_client.wire import StreamOptions

__all__ = ["Addresses", "Attempts", "Reconnect", "Urls"]

Urls = str | Sequence[str] | Callable[[], str]
"""One server, several that stand in for each other, or who knows where the server is now."""


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Reconnecting and resuming. The counts begin anew with every result that comes."""

    attempts: int = 10
    within_s: float = 60.0
    """No attempt begins later than this after the connection was lost."""
    first_delay_s: float = 0.1
    """Before the first attempt; doubles with every further one."""
    max_delay_s: float = 5.0
    checkpoint_interval_s: float = 5.0
    """Asked of the server; less where the buffer is small."""
    buffer_s: float = 30.0
    """Sent data that is kept until the server has saved it: in seconds of the stream,"""
    buffer_bytes: int = 8 << 20
    """and in bytes. Sending waits while it is full; it holds two intervals at least."""

    def __post_init__(self) -> None:
        for name in ("first_delay_s", "max_delay_s", "within_s"):
            if getattr(self, name) < 0:
                raise InvalidArgument(f"{name} is {getattr(self, name):g}, expected at least 0")
        for name in ("attempts", "checkpoint_interval_s", "buffer_s", "buffer_bytes"):
            if getattr(self, name) <= 0:
                raise InvalidArgument(f"{name} is {getattr(self, name):g}, expected more than 0")

    def delay(self, attempt: int) -> float:
        """Seconds to wait before an attempt, counted from 0.

        Half of it is left to chance: clients that were cut off together come back one by one.
        """
        longest = min(self.first_delay_s * 2.0 ** min(attempt, 30), self.max_delay_s)
        return longest * random.uniform(0.5, 1.0)

    def interval(self, options: StreamOptions) -> float:
        """What to ask the server for, so that the buffer holds several intervals."""
        width = WIDTH.get(options.encoding or "", 4) * (options.channels or 1)
        rate = width * (options.sample_rate or 16_000)
        return min(self.checkpoint_interval_s, self.buffer_s / 4, self.buffer_bytes / rate / 4)

    def limit(self, ready: Ready, bytes_per_sample: int) -> int:
        """Bytes of a stream to keep at most."""
        model = ready.model
        rate = ready.stream.sample_rate if ready.stream else model.sample_rate
        second = rate * bytes_per_sample
        # With less, sending could wait for a checkpoint that waits for data. Only whole frames
        # are computed, and the last one may wait for the next.
        least = ready.limits.checkpoint_interval_s + 2 * model.hop / model.sample_rate
        return int(max(min(self.buffer_s * second, self.buffer_bytes), 2 * least * second)) + 4096


class Addresses:
    """Where to connect to, one after the other. Raises `InvalidArgument`."""

    def __init__(self, urls: Urls) -> None:
        self._resolve = urls if callable(urls) else None
        self._urls = [urls] if isinstance(urls, str) else [] if callable(urls) else list(urls)
        if self._resolve is None and not self._urls:
            raise InvalidArgument("no address, expected at least one")
        for url in self._urls:
            stream_url(url)
        self._at = 0

    def __len__(self) -> int:
        return max(1, len(self._urls))

    @property
    def current(self) -> str:
        """The address to try now."""
        return self._resolve() if self._resolve else self._urls[self._at]

    def advance(self) -> None:
        """The current address did not work: try the next one."""
        if self._urls:
            self._at = (self._at + 1) % len(self._urls)


class Attempts:
    """Counts what a policy allows, since the stream last brought anything new."""

    def __init__(self, policy: Reconnect) -> None:
        self._policy = policy
        self.made = 0
        self.failure: ClientError | None = None
        """What ended the connection first."""
        self._began = 0.0

    def lost(self, failure: ClientError) -> ClientError:
        """A connection is lost. Returns the failure that came first."""
        if self.failure is None:
            self.failure, self._began = failure, time.monotonic()
        return self.failure

    def reset(self) -> None:
        """The stream goes on."""
        self.made, self.failure = 0, None

    def next(self) -> float | None:
        """Seconds to wait before one more attempt; None when it is time to give up."""
        policy = self._policy
        over = time.monotonic() - self._began >= policy.within_s
        if self.made >= policy.attempts or over:
            return None
        self.made += 1
        return policy.delay(self.made - 1)
