"""The client's side of one stream, without I/O: what may be sent when, what an answer means.

The server cuts a stream that sends much faster than it is computed (`sent_too_fast`). So this
counts the bytes sent against the bytes that the server has reported on, and says `congested`
when a caller should wait. Chunks report by themselves; where none come (`report="events"`, long
intervals) a marker of our own asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from surnn_client.exceptions import (
    ClientError,
    ConnectionLost,
    ProtocolViolation,
    StreamClosed,
    server_error,
)
from surnn_client.messages import Checkpoint, Chunk, Error, Marker, Message, Ready, Summary
from surnn_client.samples import WIDTH, Samples, as_bytes
from surnn_client.wire import PROTOCOL_VERSION, StreamOptions, control, parse

__all__ = ["Phase", "StreamProtocol"]

_OWN_MARKERS = "surnn-client:"
_DEFAULT_WINDOW_S = 30.0
_MIN_WINDOW = 64
_MAX_WINDOW = 4 << 20
_MAX_MESSAGES = 2048
"""Messages that may be unreported: a server bounds those too, however small they are."""


class Phase(Enum):
    """Where a stream stands."""

    STARTING = "starting"
    OPEN = "open"
    ENDING = "ending"
    """`end` was sent: results are still coming."""
    CLOSED = "closed"


class StreamProtocol:
    """One stream's messages. Adapters move them over a socket."""

    def __init__(self, options: StreamOptions) -> None:
        self.options = options
        self.phase = Phase.STARTING
        self.ready: Ready | None = None
        self.summary: Summary | None = None
        self.failure: ClientError | None = None
        """Why the stream ended, when it did not end as asked."""
        self._error: Error | None = None
        self._encoding = options.encoding or "pcm_s16le"
        self._bytes_per_sample = 1
        self._window = _MIN_WINDOW
        self._part = _MIN_WINDOW
        self._sent = 0
        self._reported = 0
        self._unreported_messages = 0
        self._marker_at: tuple[int, int] | None = None
        """Bytes and unreported messages sent before our marker, while it is on its way."""

    @property
    def bytes_per_sample(self) -> int:
        """Of all channels together."""
        return self._bytes_per_sample

    @property
    def part(self) -> int:
        """Most bytes in one message."""
        return self._part

    @property
    def congested(self) -> bool:
        """Should the caller wait for the server before sending more?"""
        full = (
            self._sent - self._reported >= self._window
            or self._unreported_messages >= _MAX_MESSAGES
        )
        return full and self.phase is Phase.OPEN

    def parts(self, data: Samples) -> Iterator[memoryview]:
        """The data in messages that the server takes. Raises `InvalidArgument`."""
        view = as_bytes(data, self._encoding)
        for start in range(0, len(view), self._part):
            yield view[start : start + self._part]

    def sent(self, count: int) -> str | None:
        """Count bytes that were sent. Returns a message to send next, if any."""
        self._sent += count
        self._unreported_messages += 1
        return self.probe()

    def probe(self) -> str | None:
        """A marker that asks how far the server is; None when that is not needed, or asked."""
        half_full = (
            self._sent - self._reported >= self._window // 2
            or self._unreported_messages >= _MAX_MESSAGES // 2
        )
        if self._marker_at is not None or not half_full:
            return None
        self._marker_at = (self._sent, self._unreported_messages)
        return control("marker", id=f"{_OWN_MARKERS}{self._sent}")

    def end(self) -> str | None:
        """The `end` message; None when it was sent before. Raises what ended the stream."""
        if self.phase is Phase.OPEN:
            self.phase = Phase.ENDING
            return control("end")
        if self.summary is None:
            self.check_alive()
        return None

    def check_open(self) -> None:
        """Raise unless data and control messages may be sent."""
        self.check_alive()
        if self.phase is not Phase.OPEN:
            raise StreamClosed(f"the stream is {self.phase.value}, expected an open one")

    def check_alive(self) -> None:
        """Raise what ended the stream, if it ended before its time."""
        if self.failure is not None:
            raise self.failure

    def receive(self, data: str | bytes) -> Message | None:
        """Take in a message. Returns what the caller should see. Raises `ProtocolViolation`."""
        message = parse(data)
        if isinstance(message, Error):
            self._error = message
            return message.checkpoint
        if isinstance(message, Marker) and message.id.startswith(_OWN_MARKERS):
            self._own_marker()
            return None
        if isinstance(message, Ready):
            self._opened(message)
            return None
        if isinstance(message, Chunk):
            self._advance(message.end_sample * self._bytes_per_sample)
        elif isinstance(message, Checkpoint) and message.replaced_position is not None:
            self._shift((message.position - message.replaced_position) * self._bytes_per_sample)
        elif isinstance(message, Summary):
            self.summary = message
        return message

    def closed(self, code: int | None, reason: str) -> None:
        """The connection is closed: settle how the stream ended."""
        ended = self.phase is Phase.ENDING or self.summary is not None
        self.phase = Phase.CLOSED
        if self.failure is not None:
            return
        if self._error is not None:
            self.failure = server_error(
                self._error.code,
                self._error.message,
                close_code=code,
                retryable=self._error.retryable,
            )
        elif self.summary is None:
            when = "before the summary" if ended else "before the end of the stream"
            seen = f"code {code}{f', {reason}' if reason else ''}" if code else "no close code"
            self.failure = ConnectionLost(
                f"connection closed {when} ({seen})", close_code=code, retryable=True
            )

    def fail(self, error: ClientError) -> None:
        """The stream cannot go on, for a reason found on this side."""
        if self.failure is None and self.phase is not Phase.CLOSED:
            self.failure = error

    def _opened(self, ready: Ready) -> None:
        if ready.protocol != PROTOCOL_VERSION:
            raise ProtocolViolation(
                f"server speaks protocol {ready.protocol}, expected {PROTOCOL_VERSION}"
            )
        self.ready = ready
        self.phase = Phase.OPEN
        stream = ready.stream
        if stream is not None:
            self._encoding = stream.encoding
        elif self.options.encoding is None and ready.model.hop == 1:
            # A model whose frame is one sample is a sensor model, which takes f32le by default.
            self._encoding = "f32le"
        # Without a word on the channels one is assumed: too few bytes a second waits too often,
        # too many would be cut.
        channels = stream.channels if stream is not None else self.options.channels or 1
        self._bytes_per_sample = WIDTH.get(self._encoding, 1) * channels
        rate = self.options.sample_rate or ready.model.sample_rate
        if stream is not None:
            rate = stream.sample_rate
        # Chunks count from the start of the stream, which may have been another connection's.
        self._sent = self._reported = ready.position * self._bytes_per_sample
        seconds = ready.limits.max_buffered_seconds or _DEFAULT_WINDOW_S
        window = int(seconds / 2 * rate * self._bytes_per_sample)
        self._window = min(max(window, _MIN_WINDOW), _MAX_WINDOW)
        self._part = max(min(self._window // 4, ready.limits.max_message_bytes), 1)

    def _shift(self, count: int) -> None:
        """Samples have other numbers from now on."""
        self._sent += count
        self._reported += count
        if self._marker_at is not None:
            sent, messages = self._marker_at
            self._marker_at = (sent + count, messages)

    def _own_marker(self) -> None:
        if self._marker_at is not None:
            sent, messages = self._marker_at
            self._marker_at = None
            self._unreported_messages -= messages
            self._advance(sent)

    def _advance(self, reported: int) -> None:
        self._reported = min(max(self._reported, reported), self._sent)
