"""The network between clients and server, in one's own hand: it breaks, stalls and moves."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Coroutine

__all__ = ["Proxy"]

_BLOCK = 1 << 14


class _Link:
    """One client's connection."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.left: int | None = None
        """Bytes until it breaks, in whichever direction."""
        self.flows = asyncio.Event()
        self.flows.set()
        self.answers = asyncio.Event()
        """The server's side alone."""
        self.answers.set()

    def cut(self) -> None:
        """Break it, with whatever is on its way."""
        for side in (self.client, self.server):
            side.transport.abort()


class Proxy:
    """Passes bytes on to the server of the moment.

    Attributes:
        port: where clients connect.
        target: the port of the server.
    """

    def __init__(self) -> None:
        self.port = 0
        self.target = 0
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Drop everything."""
        self._server.close()
        for link in list(self._links):
            link.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drop(self, chance: random.Random) -> bool:
        """Break one connection after a few more bytes, as a rule within a frame."""
        link = self._any(chance)
        if link is not None:
            link.left = chance.randrange(3 * _BLOCK)
        return link is not None

    def stall(self, chance: random.Random, seconds: float, *, answers_only: bool) -> bool:
        """Pass nothing on for a while: a half-open connection, or a client that does not read."""
        link = self._any(chance)
        if link is None:
            return False
        gate = link.answers if answers_only else link.flows
        gate.clear()
        self._spawn(self._go_on(gate, seconds))
        return True

    async def _go_on(self, gate: asyncio.Event, seconds: float) -> None:
        await asyncio.sleep(seconds)
        gate.set()

    def _any(self, chance: random.Random) -> _Link | None:
        links = [link for link in self._links if link.left is None]
        return chance.choice(links) if links else None

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            to_client.transport.abort()
            return
        link = _Link(to_client, to_server)
        self._links.add(link)
        try:
            await asyncio.gather(
                self._pass(link, from_client, to_server, answers=False),
                self._pass(link, from_server, to_client, answers=True),
            )
        finally:
            self._links.discard(link)
            link.cut()

    async def _pass(
        self,
        link: _Link,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        *,
        answers: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_BLOCK):
                await link.flows.wait()
                if answers:
                    await link.answers.wait()
                if link.left is not None:
                    data, link.left = data[: link.left], link.left - len(data)
                sink.write(data)
                if link.left is not None and link.left <= 0:
                    link.cut()
                    return
                await sink.drain()
            sink.write_eof()
