"""The asyncio client.

async with connect_async("ws://localhost:8000", sample_rate=16_000) as stream:
    async for message in stream.run(chunks):
        print(message)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Unpack

from surnn_client.connecting import ConnectOptions, prepare
from surnn_client.durable import DurableConnection
from surnn_client.exceptions import ClientError
from surnn_client.journal import Control
from surnn_client.messages import Checkpoint, Message, Ready, Summary
from surnn_client.reconnect import Urls
from surnn_client.samples import Samples

__all__ = ["AsyncStream", "connect_async"]


class AsyncStream:
    """One open stream. Made by `connect_async`.

    Iterating gives `Chunk`, `EventMessage`, `Marker`, `Warning_`, `Reconnected` and last
    `Summary`, as they come; it raises a `ClientError` when the stream ends for any other reason.
    Messages wait for their reader without limit: they are far smaller than what is sent for
    them.
    """

    def __init__(self, connection: DurableConnection, queue: asyncio.Queue[Message | None]) -> None:
        self._connection = connection
        self._queue = queue

    @property
    def ready(self) -> Ready:
        """What the server said when the stream opened: model, limits, session."""
        return self._connection.ready

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The newest one: its token is all that is needed to go on, in another process too."""
        return self._connection.checkpoint

    async def send(self, data: Samples) -> None:
        """Send samples: bytes in the stream's encoding, of any size, or a contiguous array.

        Waits while the server is too far behind.
        """
        await self._connection.send(data)

    async def marker(self, id: str) -> None:
        """Ask for a `Marker` once everything sent so far is processed and reported."""
        await self._connection.control(Control("marker", id))

    async def flush(self) -> None:
        """Ask for what is being merged, without waiting for the report interval."""
        await self._connection.control(Control("flush"))

    async def keepalive(self) -> None:
        """Keep an idle session alive."""
        await self._connection.control(Control("keepalive"))

    async def end(self) -> Summary:
        """Say that the stream is complete, and wait for its summary.

        Messages that came before it can still be read.
        """
        await self._connection.end()
        return await self._connection.summary()

    async def close(self) -> None:
        """Close the connection, ended or not. Closing twice is harmless."""
        await self._connection.close()

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        message = await self._queue.get()
        if message is None:
            self._queue.put_nowait(None)
            self._connection.check_alive()
            raise StopAsyncIteration
        return message

    async def run(
        self, chunks: Iterable[Samples] | AsyncIterable[Samples]
    ) -> AsyncIterator[Message]:
        """Send all chunks, end the stream, and give messages as they come, `Summary` last.

        Chunks that take time to arrive should come from an asynchronous iterable: waiting in a
        plain one holds up the event loop. Leaving the loop early stops the sending.
        """
        failures: list[Exception] = []
        pump = asyncio.create_task(self._pump(chunks, failures))
        try:
            async for message in self:
                yield message
        except ClientError:
            if failures:
                raise failures[0] from None
            raise
        finally:
            pump.cancel()
            await asyncio.wait([pump])

    async def _pump(
        self, chunks: Iterable[Samples] | AsyncIterable[Samples], failures: list[Exception]
    ) -> None:
        try:
            if isinstance(chunks, AsyncIterable):
                async for chunk in chunks:
                    await self.send(chunk)
            else:
                for chunk in chunks:
                    await self.send(chunk)
            await self._connection.end()
        except Exception as error:  # noqa: BLE001 - handed to the reading side
            failures.append(error)
            # Whoever reads would wait for ever for the end of a stream that nobody ends.
            await self.close()


@asynccontextmanager
async def connect_async(url: Urls, **options: Unpack[ConnectOptions]) -> AsyncIterator[AsyncStream]:
    """Open a stream; leaving the block closes it.

    The options are those of `ConnectOptions`: model, sample_rate, encoding, channels, report,
    report_interval_ms, thresholds, overflow, priority, api_key, reconnect, resume, open_timeout.

    A lost connection is made anew, and the stream goes on where it stood (see `Reconnect`): at
    the same address, at the next one of a list, or where a function says.

    Raises `ConnectionFailed`, `ServerError` or `InvalidArgument`.
    """
    queue: asyncio.Queue[Message | None] = asyncio.Queue()
    connection = prepare(url, queue.put_nowait, **options)
    await connection.open()
    stream = AsyncStream(connection, queue)
    try:
        yield stream
    finally:
        await stream.close()
