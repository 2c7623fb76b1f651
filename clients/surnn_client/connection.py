"""One stream over one WebSocket: what the asyncio and the blocking client share.

A task reads all the time and hands on what comes, so that sending never waits for a caller to
read: a client that only sends would else stop a server that only answers, and both would wait
for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)

from surnn_client.address import is_loopback, stream_url
from surnn_client.credentials import headers
from surnn_client.exceptions import ClientError, ConnectionFailed, InvalidArgument, StreamClosed
from surnn_client.journal import Control
from surnn_client.messages import Message
from surnn_client.protocol import Phase, StreamProtocol
from surnn_client.samples import Samples
from surnn_client.wire import StreamOptions, control

__all__ = ["Connection", "Deliver", "open_connection"]

Deliver = Callable[[Message | None], None]
"""Takes every message, then None once at the end."""

# A result with every frame of a long flush can be large, and the server is trusted not to flood.
_MAX_MESSAGE_BYTES = 64 * 2**20
_RETRY_STATUS = {408, 429, 502, 503, 504}


class Connection:
    """A stream's socket, its protocol, and the task that reads."""

    def __init__(
        self, websocket: ClientConnection, protocol: StreamProtocol, deliver: Deliver
    ) -> None:
        self.protocol = protocol
        self._websocket = websocket
        self._deliver = deliver
        self._sending = asyncio.Lock()
        self._news = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def start(self) -> None:
        """Send `start`, wait for `ready`. Raises `ServerError` when refused."""
        await self._transmit(self.protocol.options.start())
        await self._until(lambda: self.protocol.phase is not Phase.STARTING)
        self.protocol.check_alive()

    async def send(self, data: Samples) -> None:
        """Send samples, waiting while the server is too far behind."""
        async with self._sending:
            self.protocol.check_open()
            for part in self.protocol.parts(data):
                await self._room()
                self.protocol.check_open()
                await self._transmit(part)
                if extra := self.protocol.sent(len(part)):
                    await self._transmit(extra)

    async def control(self, kind: str, **fields: object) -> None:
        """Send a control message, in its place among the samples."""
        async with self._sending:
            self.protocol.check_open()
            await self._transmit(control(kind, **fields))

    async def forward(self, item: bytes | memoryview | Control) -> None:
        """Send data or a control message, whichever it is."""
        if not isinstance(item, Control):
            await self.send(item)
        elif item.kind == "end":
            await self.end()
        else:
            await self.control(item.kind, **({} if item.id is None else {"id": item.id}))

    async def end(self) -> None:
        """Send `end`, once."""
        async with self._sending:
            if message := self.protocol.end():
                await self._transmit(message)

    async def finished(self) -> None:
        """Wait until nothing more comes."""
        await asyncio.wait([self._reader])

    async def close(self) -> None:
        """Close the socket. Closing twice is harmless."""
        # Settled before the socket closes: what we close on purpose is not a lost connection.
        if self.protocol.phase is not Phase.CLOSED and self.protocol.summary is None:
            self.protocol.fail(StreamClosed("the stream was closed here before its end"))
        await self._websocket.close()
        await self._reader

    async def _transmit(self, message: str | memoryview) -> None:
        try:
            await self._websocket.send(message)
        except ConnectionClosed:
            # The reader knows why: an error message may still have been on its way.
            await asyncio.wait([self._reader])
            self.protocol.check_alive()
            raise StreamClosed("the stream has ended, expected an open one") from None

    async def _room(self) -> None:
        while self.protocol.congested:
            self._news.clear()
            # The answer to the last marker may have left the window full, with nobody asking.
            if marker := self.protocol.probe():
                await self._transmit(marker)
            await self._news.wait()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition() and self.protocol.phase is not Phase.CLOSED:
            self._news.clear()
            await self._news.wait()

    async def _read(self) -> None:
        websocket, protocol = self._websocket, self.protocol
        try:
            while True:
                message = protocol.receive(await websocket.recv())
                if message is not None:
                    self._deliver(message)
                self._news.set()
        except ConnectionClosed:
            pass
        except ClientError as error:
            protocol.fail(error)
            await websocket.close(1002)
        finally:
            protocol.closed(websocket.close_code, websocket.close_reason or "")
            self._news.set()
            self._deliver(None)


async def open_connection(
    url: str,
    options: StreamOptions,
    deliver: Deliver,
    *,
    open_timeout: float | None,
    api_key: str | None = None,
) -> Connection:
    """Connect, and start the stream. Raises `ConnectionFailed` or `ServerError`."""
    address = stream_url(url)
    try:
        async with asyncio.timeout(open_timeout):
            websocket = await _connect(address, headers(api_key))
            connection = Connection(websocket, StreamProtocol(options), deliver)
            try:
                await connection.start()
            except BaseException:
                await connection.close()
                raise
            return connection
    except TimeoutError:
        raise ConnectionFailed(
            f"no answer from {address} within {open_timeout:g} s, expected a surnn server",
            retryable=True,
        ) from None


async def _connect(address: str, extra: Mapping[str, str]) -> ClientConnection:
    try:
        return await connect(
            address,
            additional_headers=extra,
            compression=None,  # PCM hardly shrinks, and small results cost more than they save
            max_size=_MAX_MESSAGE_BYTES,
            proxy=None if is_loopback(address) else True,
            open_timeout=None,
            close_timeout=5.0,
        )
    except InvalidURI as error:
        raise InvalidArgument(f"address is {address!r}, expected ws://host:port") from error
    except InvalidStatus as error:
        status = error.response.status_code
        raise ConnectionFailed(
            f"{address} answered HTTP {status}, expected a WebSocket",
            retryable=status in _RETRY_STATUS,
        ) from error
    except (InvalidHandshake, WebSocketException) as error:
        raise ConnectionFailed(f"{address} is not a surnn server: {error}") from error
    except OSError as error:
        raise ConnectionFailed(f"cannot reach {address}: {error}", retryable=True) from error
