"""Not working for a client that has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

__all__ = ["OwningResponse", "unless_disconnected"]

T = TypeVar("T")


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do the work; raise `ClientDisconnect` as soon as the client is gone.

    For requests whose body was read: what still arrives is the disconnect.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class OwningResponse(StreamingResponse):
    """A streamed response that gives back what it needs, however it ends.

    A generator that is never started, because the client left too early, could not do that.
    """

    def __init__(
        self,
        content: AsyncIterator[str] | AsyncIterator[bytes],
        owned: AsyncExitStack,
        media_type: str | None = None,
    ) -> None:
        super().__init__(content, media_type=media_type)
        self._owned = owned

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, then give everything back."""
        async with self._owned:
            await super().__call__(scope, receive, send)
