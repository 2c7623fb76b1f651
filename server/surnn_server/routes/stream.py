"""`/v1/stream`: the WebSocket (see PROTOCOL.md)."""

from __future__ import annotations

import asyncio
import contextlib

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from surnn_server.access import principal_of
from surnn_server.connection import Close, Connection
from surnn_server.dependencies import service_of
from surnn_server.direct import DirectStream
from surnn_server.transport import ABORT, DIRECT, Wire

__all__ = ["router"]

router = APIRouter()

_YIELD_EVERY = 32
"""Messages in a row before other connections get a turn on the event loop."""


@router.websocket("/v1/stream")
async def stream(websocket: WebSocket) -> None:
    """One connection is one stream is one session."""
    await websocket.accept()

    def cut() -> None:
        abort = websocket.scope.get("extensions", {}).get(ABORT)
        if abort is not None:
            abort["call"]()
        sender.cancel()

    connection = Connection(service_of(websocket.app), cut, principal_of(websocket))
    # Servers other than ours have no short way.
    extension = websocket.scope.get("extensions", {}).get(DIRECT)
    direct = DirectStream(connection)
    wire: Wire | None = extension["attach"](direct) if extension else None
    if wire is not None:
        direct.start(wire)
        sender = asyncio.create_task(_close(websocket, direct))
    else:
        sender = asyncio.create_task(_send(websocket, connection))
    receiver = asyncio.create_task(_receive(websocket, connection))
    try:
        await asyncio.wait({sender, receiver}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        direct.stop()
        connection.gone()
        for task in (sender, receiver):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect):
                await task


async def _close(websocket: WebSocket, direct: DirectStream) -> None:
    close = await direct.closed
    await websocket.close(close.code, close.reason)


async def _receive(websocket: WebSocket, connection: Connection) -> None:
    """Messages until the connection is over; on the short way that is all that comes here."""
    while True:
        await connection.room()
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if (data := message.get("bytes")) is not None:
            connection.binary(data)
        elif (text := message.get("text")) is not None:
            connection.text(text)


async def _send(websocket: WebSocket, connection: Connection) -> None:
    sent = 0
    async with contextlib.aclosing(connection.outgoing()) as outgoing:
        async for message in outgoing:
            if isinstance(message, Close):
                await websocket.close(message.code, message.reason)
                return
            await websocket.send_text(message.decode())
            sent += 1
            if sent % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
