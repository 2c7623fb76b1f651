"""Where uvicorn's HTTP is extended: requests whose heads never end, or never begin.

uvicorn waits for a head without limit of time or size, before anyone is asked for a key.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HttpProtocol", "http_protocol"]

MAX_HEAD_BYTES = 64 << 10


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which drops connections that only take up room."""

    head_timeout_s = 10.0
    """From the connection, or a request's first byte, to the end of the request's head; and from
    an early answer to the end of the body that it does not need."""
    _deadline: asyncio.TimerHandle | None = None
    _between = True
    """No body is being read: what comes is a head."""
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A socket was opened."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self._between:
            self._head_bytes += len(data)
        super().data_received(data)
        # Bytes behind the end of the head were counted too: one reading of them is no matter.
        if self._between and self._head_bytes > MAX_HEAD_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._expect()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._between = False
        self._cancel()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is whole."""
        super().on_message_complete()
        self._between, self._head_bytes = True, 0
        self._cancel()

    def on_response_complete(self) -> None:
        """The answer was sent."""
        super().on_response_complete()
        if not self._between and self.cycle.response_complete:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        super().connection_lost(exc)
        self._cancel()

    def _expect(self) -> None:
        """The head, or the rest of the body, has to come soon."""
        self._cancel()
        self._deadline = self.loop.call_later(self.head_timeout_s, self.transport.abort)

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def http_protocol(head_timeout_s: float) -> type[HttpProtocol]:
    """The protocol with that timeout, as uvicorn takes it: a class."""
    return type("HttpProtocol", (HttpProtocol,), {"head_timeout_s": head_timeout_s})
