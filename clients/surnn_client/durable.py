"""One stream over one connection after another: what the asyncio and the blocking client share.

Everything that is sent is kept until a checkpoint covers it. When the connection is lost, another
one goes on from the newest checkpoint and is sent what came after it; what was told before is
not told again. So the caller sees one stream.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from surnn_client.connection import Connection, Deliver
from surnn_client.dialling import Dialler, worth_another
from surnn_client.exceptions import ClientError, ConnectionLost, StreamClosed
from surnn_client.journal import Control, Journal
from surnn_client.messages import Checkpoint, Marker, Message, Ready, Reconnected, Summary
from surnn_client.pacing import pieces
from surnn_client.progress import Progress
from surnn_client.protocol import Phase
from surnn_client.reconnect import Addresses, Attempts, Reconnect, Urls
from surnn_client.samples import Samples
from surnn_client.wire import StreamOptions

__all__ = ["DurableConnection"]


class DurableConnection:
    """A stream that outlives its connections.

    Args:
        urls: where the stream may go on.
        options: of the stream.
        reconnect: when to give up; False: at the first lost connection.
        deliver: takes every message for the caller, then None once at the end.
        open_timeout: bounds each attempt to connect, in seconds.
        api_key: opens the server; None: the environment's.
    """

    def __init__(
        self,
        urls: Urls,
        options: StreamOptions,
        deliver: Deliver,
        *,
        reconnect: Reconnect | bool,
        open_timeout: float | None,
        api_key: str | None = None,
    ) -> None:
        policy = Reconnect() if reconnect is True else reconnect or None
        interval = policy.interval(options) if policy else 0.0
        self._options = replace(options, checkpoint_interval_s=interval)
        self._dialler = Dialler(Addresses(urls), self._receive, open_timeout, api_key)
        self._policy = policy
        self._deliver = deliver
        self._early: list[Message] | None = []
        """What came before the stream was handed out; None from then on."""
        self._told: Progress
        self.checkpoint: Checkpoint | None = None
        """The newest."""
        self._failure: ClientError | None = None
        self._settled = False
        self._ended = False
        self._summary: Summary | None = None
        self._start = 0
        """The first sample that the caller sends."""
        self._journal = Journal()
        self._limit = 0
        """Bytes that the journal may hold; 0: nothing is kept."""
        self._attempts = Attempts(policy) if policy else None
        self._announcement: Reconnected | None = None
        self._sending = asyncio.Lock()
        self._news = asyncio.Event()
        self._stirred = asyncio.Event()
        self._live: Connection
        """The newest connection."""
        self._connection: Connection | None = None
        """The same once everything kept has been sent over it: it takes what comes next."""
        self._supervisor: asyncio.Task[None]

    async def open(self) -> None:
        """Connect to the first address that answers, and start the stream.

        Raises `ConnectionFailed` or `ServerError` when none does.
        """
        self._live = await self._dialler.first(self._options)
        ready, protocol = self.ready, self._live.protocol
        self._told = Progress(ready)
        self._start = ready.position
        self._journal = Journal(ready.position * protocol.bytes_per_sample)
        if self._policy:
            self._limit = self._policy.limit(ready, protocol.bytes_per_sample)
        self._connection = self._live
        self._supervisor = asyncio.create_task(self._supervise())
        early, self._early = self._early or [], None
        for message in early:
            self._receive(message)

    @property
    def ready(self) -> Ready:
        """What the server said on the newest connection."""
        assert self._live.protocol.ready is not None, "a stream is handed out once it is ready"
        return self._live.protocol.ready

    async def send(self, data: Samples) -> None:
        """Send samples, waiting while the server or its checkpoints are too far behind."""
        async with self._sending:
            self._check_open()
            for part in self._live.protocol.parts(data):
                # Much less than the buffer holds, so that waiting for room comes to an end.
                for piece in pieces(part, self._limit // 4) if self._limit else (part,):
                    await self._keep(piece)
                    await self._forward(piece)

    async def control(self, control: Control) -> None:
        """Send a control message, in its place among the samples."""
        async with self._sending:
            self._check_open()
            if self._policy and control.kind != "keepalive":
                self._journal.add_control(control)
            await self._forward(control)

    async def end(self) -> None:
        """Send `end`, once."""
        async with self._sending:
            if self._ended:
                self.check_alive()
                return
            self._check_open()
            self._ended = True
            self._journal.add_control(Control("end"))
            await self._forward(Control("end"))

    async def summary(self) -> Summary:
        """Wait for the summary. Raises what ended the stream without one."""
        while self._summary is None and not self._settled:
            await self._wait()
        if self._summary is None:
            self.check_alive()
            raise StreamClosed("the stream was closed here, expected its summary first")
        return self._summary

    async def close(self) -> None:
        """Close the connection and look for no other. Closing twice is harmless."""
        self._supervisor.cancel()
        await asyncio.wait([self._supervisor])
        await self._live.close()
        early = StreamClosed("the stream was closed here before its end")
        self._settle(None if self._summary else early)

    def check_alive(self) -> None:
        """Raise what ended the stream, if it ended before its time."""
        if self._failure is not None:
            raise self._failure

    def _check_open(self) -> None:
        self.check_alive()
        if self._settled or self._ended:
            raise StreamClosed("the stream has ended, expected an open one")

    async def _keep(self, data: memoryview) -> None:
        """Keep data until it is safe, waiting while there is no room."""
        if not self._limit:
            return
        journal = self._journal
        while journal and len(journal) + len(data) > self._limit:
            if not self.ready.limits.checkpoint_interval_s:
                journal.forget()  # nothing would ever make room
                break
            await self._wait()
            self._check_open()
        journal.add(data)

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _forward(self, item: bytes | memoryview | Control) -> None:
        self._stirred.set()
        connection = self._connection
        if connection is None:
            return  # it is kept, and follows what was lost
        try:
            await connection.forward(item)
        except ClientError:
            if self._policy is None or connection.protocol.phase is not Phase.CLOSED:
                raise

    # From the server.

    def _receive(self, message: Message | None) -> None:
        if message is None:
            if self._early:
                self._early.clear()  # an attempt has failed, and the next one is another stream
            return  # the supervisor sees to what follows
        if self._early is not None:
            self._early.append(message)
            return
        self._announce()
        if isinstance(message, Checkpoint):
            self._saved(message)
            return
        if not self._told.news(message):
            return
        match message:
            case Marker():
                self._journal.answered(message.id)
            case Summary():
                self._summary = message
        if self._attempts:
            self._attempts.reset()
        self._deliver(message)
        self._news.set()

    def _saved(self, checkpoint: Checkpoint) -> None:
        before = self.checkpoint.position if self.checkpoint else -1
        if checkpoint.position > before and self._attempts:
            self._attempts.reset()
        self.checkpoint = checkpoint
        step = self._live.protocol.bytes_per_sample
        if checkpoint.replaced_position is not None:
            self._journal.shift((checkpoint.position - checkpoint.replaced_position) * step)
            self._told.moved(checkpoint)
        self._journal.safe(checkpoint.position * step)
        self._news.set()

    def _announce(self) -> None:
        if self._announcement is not None:
            message, self._announcement = self._announcement, None
            self._deliver(message)

    # Connections.

    async def _supervise(self) -> None:
        try:
            while True:
                await self._live.finished()
                self._connection = None
                failure = self._live.protocol.failure
                if failure is None:
                    self._settle(None)
                    return
                await self._reconnect(failure)
        except ClientError as error:
            self._settle(error)

    async def _reconnect(self, failure: ClientError) -> None:
        attempts = self._attempts
        if attempts is None or not failure.retryable or not self._journal.whole:
            raise failure
        if failure.code == "idle_timeout":
            # The server wants us gone until there is something to say. It works well.
            attempts.reset()
            self._stirred.clear()
            if not self._pending:
                await self._stirred.wait()
        first, last = attempts.lost(failure), failure
        while (delay := attempts.next()) is not None:
            self._dialler.addresses.advance()
            await asyncio.sleep(delay)
            saved = self.checkpoint
            position = saved.position if saved else self._start
            self._announcement = Reconnected(
                self._dialler.addresses.current, first.code, attempts.made, position
            )
            resumed = replace(
                self._options,
                resume=saved.token if saved else self._options.resume,
                reported_frames=self._told.frames,
            )
            try:
                self._live = await self._dialler.dial(resumed)
            except ClientError as error:
                if not worth_another(error):
                    raise
                last = error
                continue
            self._announce()
            await self._replay(self._live, position)
            return
        raise ConnectionLost(
            f"{first.message}; {attempts.made} attempts to go on failed, the last one: "
            f"{last.message}",
            close_code=first.close_code,
            retryable=True,
        ) from last

    @property
    def _pending(self) -> bool:
        """Is anything kept that the newest checkpoint does not cover?"""
        step = self._live.protocol.bytes_per_sample
        begin = step * (self.checkpoint.position if self.checkpoint else self._start)
        items = list(self._journal.since(begin))
        return any(isinstance(item, Control) or len(item) >= step for item in items)

    async def _replay(self, connection: Connection, position: int) -> None:
        try:
            for item in self._journal.since(position * connection.protocol.bytes_per_sample):
                await connection.forward(item)
        except ClientError:
            return  # lost again
        # Nothing was awaited since the last of it was taken: what is sent next comes next.
        self._connection = connection

    def _settle(self, failure: ClientError | None) -> None:
        if not self._settled:
            self._settled, self._failure = True, failure
            self._news.set()
            self._deliver(None)
