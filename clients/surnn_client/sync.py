"""The blocking client.

    with connect("ws://localhost:8000", sample_rate=16_000) as stream:
        for message in stream.run(chunks):
            print(message)

It drives the asyncio client from a thread: a blocking socket that one thread writes and another
reads can stop for good when both directions are full.
"""

from __future__ import annotations

import threading
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, Unpack

from surnn_client.background import BackgroundLoop, LoopStopped
from surnn_client.connecting import ConnectOptions, prepare
from surnn_client.durable import DurableConnection
from surnn_client.exceptions import ClientError, StreamClosed
from surnn_client.journal import Control
from surnn_client.messages import Checkpoint, Message, Ready, Summary
from surnn_client.reconnect import Urls
from surnn_client.samples import Samples

__all__ = ["Stream", "connect"]

_T = TypeVar("_T")


class Stream:
    """One open stream. Made by `connect`.

    Iterating gives `Chunk`, `EventMessage`, `Marker`, `Warning_`, `Reconnected` and last
    `Summary`, as they come; it raises a `ClientError` when the stream ends for any other reason.
    Messages wait for their reader without limit: they are far smaller than what is sent for
    them.

    One thread may send while another reads.
    """

    def __init__(
        self,
        connection: DurableConnection,
        queue: SimpleQueue[Message | None],
        loop: BackgroundLoop,
    ) -> None:
        self._connection = connection
        self._queue = queue
        self._loop = loop

    @property
    def ready(self) -> Ready:
        """What the server said when the stream opened: model, limits, session."""
        return self._connection.ready

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The newest one: its token is all that is needed to go on, in another process too."""
        return self._connection.checkpoint

    def send(self, data: Samples) -> None:
        """Send samples: bytes in the stream's encoding, of any size, or a contiguous array.

        Waits while the server is too far behind.
        """
        self._call(self._connection.send(data))

    def marker(self, id: str) -> None:
        """Ask for a `Marker` once everything sent so far is processed and reported."""
        self._control(Control("marker", id))

    def flush(self) -> None:
        """Ask for what is being merged, without waiting for the report interval."""
        self._control(Control("flush"))

    def keepalive(self) -> None:
        """Keep an idle session alive."""
        self._control(Control("keepalive"))

    def end(self, timeout: float | None = None) -> Summary:
        """Say that the stream is complete, and wait for its summary.

        Messages that came before it can still be read. Raises `TimeoutError` after `timeout`
        seconds.
        """
        self._call(self._connection.end(), timeout)
        return self._call(self._connection.summary(), timeout)

    def close(self) -> None:
        """Close the connection, ended or not. Closing twice is harmless."""
        try:
            self._loop.call(self._connection.close())
        except LoopStopped:
            pass
        finally:
            self._loop.stop()

    def poll(self) -> list[Message]:
        """The messages that have come, perhaps none, without waiting."""
        messages: list[Message] = []
        while (message := self._next(block=False)) is not None:
            messages.append(message)
        return messages

    def __iter__(self) -> Iterator[Message]:
        while (message := self._next(block=True)) is not None:
            yield message
        self._connection.check_alive()

    def run(self, chunks: Iterable[Samples]) -> Iterator[Message]:
        """Send all chunks, end the stream, and give messages as they come, `Summary` last.

        The chunks are taken in a thread of their own, so that a slow source, as a microphone,
        holds up no message. Leaving the loop early stops the sending after the present chunk.
        """
        stop = threading.Event()
        failures: list[BaseException] = []
        pump = threading.Thread(
            target=self._pump, args=(chunks, stop, failures), name="surnn-send", daemon=True
        )
        pump.start()
        try:
            yield from self
        except ClientError:
            if failures:
                raise failures[0] from None
            raise
        finally:
            stop.set()

    def _pump(
        self, chunks: Iterable[Samples], stop: threading.Event, failures: list[BaseException]
    ) -> None:
        try:
            for chunk in chunks:
                if stop.is_set():
                    return
                self.send(chunk)
            if not stop.is_set():
                self._call(self._connection.end())
        except BaseException as error:  # noqa: BLE001 - handed to the reading thread
            failures.append(error)
            # Whoever reads would wait for ever for the end of a stream that nobody ends.
            with suppress(LoopStopped):
                self._loop.call(self._connection.close())

    def _control(self, control: Control) -> None:
        self._call(self._connection.control(control))

    def _call(self, coroutine: Coroutine[Any, Any, _T], timeout: float | None = None) -> _T:
        try:
            return self._loop.call(coroutine, timeout)
        except LoopStopped:
            self._connection.check_alive()
            raise StreamClosed("the stream is closed, expected an open one") from None

    def _next(self, *, block: bool) -> Message | None:
        try:
            message = self._queue.get(block)
        except Empty:
            return None
        if message is None:
            self._queue.put(None)
        return message


@contextmanager
def connect(url: Urls, **options: Unpack[ConnectOptions]) -> Iterator[Stream]:
    """Open a stream; leaving the block closes it.

    The options are those of `ConnectOptions`: model, sample_rate, encoding, channels, report,
    report_interval_ms, thresholds, overflow, priority, api_key, reconnect, resume, open_timeout.

    A lost connection is made anew, and the stream goes on where it stood (see `Reconnect`): at
    the same address, at the next one of a list, or where a function says.

    Raises `ConnectionFailed`, `ServerError` or `InvalidArgument`.
    """
    queue: SimpleQueue[Message | None] = SimpleQueue()
    loop = BackgroundLoop()
    try:
        connection = prepare(url, queue.put, **options)
        loop.call(connection.open())
    except BaseException:
        loop.stop()
        raise
    stream = Stream(connection, queue, loop)
    try:
        yield stream
    finally:
        stream.close()
