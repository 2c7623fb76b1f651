"""The short way between a connection and its socket (see `transport`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from surnn_server.connection import Close, Connection
from surnn_server.transport import Wire

__all__ = ["DirectStream"]

log = logging.getLogger(__name__)

_AT_ONCE = 32
"""Messages in a row before other connections get a turn on the event loop."""


class DirectStream:
    """A connection's `Sink`: messages go in by calls, and out as soon as they are due.

    Attributes:
        closed: done with the connection's `Close` once everything before it was written.
    """

    def __init__(self, connection: Connection) -> None:
        self.closed: asyncio.Future[Close] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self.binary: Callable[[bytes], None] = connection.binary
        """See `Sink`. Not a method of its own: nearly all messages pass here."""
        self._wire: Wire | None = None
        self._pumping = False
        self._waiting: asyncio.Task[None] | None = None

    def start(self, wire: Wire) -> None:
        """Write to the wire from now on."""
        self._wire = wire
        self._connection.on_due = self.writable
        self.writable()

    def stop(self) -> None:
        """Write nothing more."""
        self._wire = None
        if self._waiting is not None:
            self._waiting.cancel()

    @property
    def full(self) -> bool:
        """See `Sink`."""
        full = self._connection.full
        if full and self._waiting is None:
            self._waiting = asyncio.create_task(self._wait_for_room())
        return full

    def text(self, text: str) -> None:
        """See `Sink`."""
        self._connection.text(text)

    def writable(self) -> None:
        """Write what is due."""
        wire = self._wire
        # Finding that something is the last message makes it due: this calls itself then.
        if wire is None or not wire.open or self._pumping or self.closed.done():
            return
        self._pumping = True
        try:
            self._write(wire)
        except Exception as error:
            log.exception("connection %s failed", self._connection.id)
            self.closed.set_exception(error)
        finally:
            self._pumping = False

    def _write(self, wire: Wire) -> None:
        texts, close = self._connection.due(_AT_ONCE)
        if texts:
            wire.write(texts)
        if close is not None:
            self.closed.set_result(close)
        elif len(texts) >= _AT_ONCE:
            asyncio.get_running_loop().call_soon(self.writable)

    async def _wait_for_room(self) -> None:
        await self._connection.room()
        self._waiting = None
        if self._wire is not None:
            self._wire.resume()
