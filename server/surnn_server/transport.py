"""Where uvicorn is extended: drop a connection that is stuck, drain before closing.

A client that stops reading leaves data in the socket's buffer. uvicorn closes such a connection
politely, which waits for that buffer for ever; only an abort frees it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

__all__ = ["ABORT", "DrainingServer", "StreamProtocol"]

log = logging.getLogger(__name__)

ABORT = "surnn.abort"
"""Extension of the ASGI scope: `{"call": function}` that drops the connection at once."""
_GOODBYE_S = 2.0
"""Before the process ends: for clients to answer the close of their stream."""
_LOOK_S = 0.02
_GRACE_S = 15.0
"""After the application is done: above uvicorn's own wait for the client's close frame."""


class StreamProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, with a way to drop a connection."""

    _grace: asyncio.TimerHandle | None = None

    def handle_connect(self, event: Request) -> None:
        """Offer the abort to the application."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["extensions"][ABORT] = {"call": self.transport.abort}

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done: nothing may hold the connection for long."""
        super().on_task_complete(task)
        if not self.disconnected:
            self._grace = self.loop.call_later(_GRACE_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        super().connection_lost(exc)
        if self._grace is not None:
            self._grace.cancel()

    def keepalive_timeout(self) -> None:
        """No pong: the client is gone, or reads nothing."""
        if self.read_paused and self.ping_timeout is not None:
            # Its pong may wait behind data that the application does not take yet.
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        self.transport.abort()


class DrainingServer(uvicorn.Server):
    """A uvicorn server that lets the application say goodbye before it closes connections."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._drain = drain

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then shut down."""
        for server in self.servers:
            server.close()
        await self._drain()
        # Data that a client still sends would make the system reset the connection, and take back
        # the goodbye that was not read yet. So wait until clients have closed their side.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                while any(isinstance(c, StreamProtocol) for c in self.server_state.connections):
                    await asyncio.sleep(_LOOK_S)
        await super().shutdown(sockets)
