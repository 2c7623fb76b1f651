"""Where uvicorn is extended: a short way for messages, aborting what is stuck, draining.

A client that stops reading leaves data in the socket's buffer. uvicorn closes such a connection
politely, which waits for that buffer for ever; only an abort frees it.

The usual way of a message through ASGI takes a queue, a task's wake-up and a pause of the socket
in each direction, which for a stream costs more than computing it. An application that asks for
it gets the messages by a call instead, and writes by one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from surnn_server.codes import CloseCode
from surnn_server.frames import BINARY_MESSAGE, frame_extent, text_frames, unmasked

__all__ = ["ABORT", "DIRECT", "DrainingServer", "Sink", "StreamProtocol", "Wire"]

log = logging.getLogger(__name__)

ABORT = "surnn.abort"
"""Extension of the ASGI scope: `{"call": function}` that drops the connection at once."""
DIRECT = "surnn.direct"
"""Extension of the ASGI scope: `{"attach": function}` that takes a `Sink` and returns a `Wire`, or
None where messages have to go the usual way. To be called once the connection is accepted;
`websocket.disconnect` and `websocket.close` go the usual way all the same."""
_GOODBYE_S = 2.0
"""Before the process ends: for clients to answer the close of their stream."""
_LOOK_S = 0.02
_GRACE_S = 15.0
"""After the application is done: above uvicorn's own wait for the client's close frame."""


class Sink(Protocol):
    """Takes the messages of a client as they arrive."""

    @property
    def full(self) -> bool:
        """Should nothing more come until `Wire.resume`?"""
        ...

    def text(self, text: str) -> None:
        """A text message arrived."""
        ...

    def binary(self, data: bytes) -> None:
        """A binary message arrived."""
        ...

    def writable(self) -> None:
        """The socket, which had more than it could take, has room again."""
        ...


class Wire(Protocol):
    """The other direction."""

    @property
    def open(self) -> bool:
        """Has the socket room, and is it to be written to at all?"""
        ...

    def write(self, texts: Iterable[bytes]) -> None:
        """Send text messages, all in one piece."""
        ...

    def resume(self) -> None:
        """The sink is not full any more."""
        ...


class StreamProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, with a short way in and out, and a way to drop it."""

    _grace: asyncio.TimerHandle | None = None
    _sink: Sink | None = None
    _early = False
    """Something arrived after the request and before the application had taken over."""
    _rest: bytearray | None = None
    """Of a frame that has not all arrived, or that the sink has no room for."""

    def handle_connect(self, event: Request) -> None:
        """Offer the extensions to the application."""
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["extensions"][ABORT] = {"call": self.transport.abort}
            self.scope["extensions"][DIRECT] = {"attach": self._attach}

    def _attach(self, sink: Sink) -> Wire | None:
        # A library that is in the middle of a frame has to finish it, so it keeps the whole rest.
        if self._early or self.disconnected or self.conn.extensions:
            return None
        self._sink = sink
        return self

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self._sink is None:
            self._early = self.handshake_initiated
            super().data_received(data)
        elif self._rest is not None:
            self._rest += data
            rest, self._rest = self._rest, None
            self._split(rest)
        else:
            self._split(data)

    def _split(self, data: bytes | bytearray) -> None:
        """Hand over the whole messages in the data; keep the rest."""
        sink, at, end = self._sink, 0, len(data)
        assert sink is not None, "frames are split for a sink"
        while at < end:
            extent = frame_extent(data, at)
            if extent is not None and extent[1] - extent[0] > self.config.ws_max_size:
                # The library refuses it by its head.
                self._to_library(data[at:])
                return
            if extent is None or extent[1] > end or sink.full:
                break
            # A message in pieces is the library's from its first piece to its last.
            whole = data[at] == BINARY_MESSAGE and self.conn.current_size is None
            if whole and data[at + 1] & 0x80:
                if not self.close_sent:
                    sink.binary(unmasked(data, extent))
            else:
                self._to_library(data[at : extent[1]])
            at = extent[1]
        if at < end:
            # A long message comes in many pieces: they are not to be copied again for each.
            whole_buffer = at == 0 and isinstance(data, bytearray)
            self._rest = data if whole_buffer else bytearray(data[at:])  # type: ignore[assignment]
            if sink.full and not self.read_paused:
                self.read_paused = True
                self.transport.pause_reading()

    def _to_library(self, data: bytes | bytearray) -> None:
        super().data_received(bytes(data))

    def send_receive_event_to_app(self) -> None:
        """The library has put a message together."""
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_text(self.frames):
            # uvicorn would write a traceback into the log, for whatever a client likes to send.
            self.frames = []
            self.conn.send_close(CloseCode.INVALID_DATA)
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()
        if self._sink is None:
            return
        while not self.queue.empty():
            event = self.queue.get_nowait()
            if event["type"] != "websocket.receive":
                self.queue.put_nowait(event)  # the last one: the connection is over
                break
            if (text := event.get("text")) is not None:
                self._sink.text(text)
            else:
                self._sink.binary(event["bytes"] or b"")
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    @property
    def open(self) -> bool:
        """See `Wire`."""
        return self.writable.is_set() and not self.disconnected and not self.close_sent

    def write(self, texts: Iterable[bytes]) -> None:
        """See `Wire`."""
        self.transport.write(text_frames(texts))

    def resume(self) -> None:
        """See `Wire`."""
        if self._rest is not None:
            rest, self._rest = self._rest, None
            self._split(rest)
        if self.read_paused and not (self._sink and self._sink.full):
            self.read_paused = False
            self.transport.resume_reading()

    def resume_writing(self) -> None:
        """The socket's buffer has room again."""
        super().resume_writing()
        if self._sink is not None:
            self._sink.writable()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done: nothing may hold the connection for long."""
        super().on_task_complete(task)
        if not self.disconnected:
            self._grace = self.loop.call_later(_GRACE_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        super().connection_lost(exc)
        self._sink = None
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


def _is_text(frames: Iterable[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True


class DrainingServer(uvicorn.Server):
    """A uvicorn server that lets the application say goodbye before it closes connections."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._drain = drain
        self.on_started: Callable[[], Awaitable[None]] | None = None
        """Awaited once, as soon as clients may come."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start up, then say so."""
        await super().startup(sockets)
        if self.on_started is not None and self.started:
            await self.on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, then shut down."""
        for server in self.servers:
            server.close()
        await self._drain()
        # Data that a client still sends would make the system reset the connection, and take back
        # the goodbye that was not read yet. So wait until clients have closed their side.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                # uvicorn keeps a plain set: there is no event to wait for.
                while any(isinstance(c, StreamProtocol) for c in self.server_state.connections):  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_S)
        await super().shutdown(sockets)
