"""Request bodies that come too slowly: whoever drips one in holds a place that others need."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from surnn_server.codes import ErrorCode, Refusal

__all__ = ["BodyPace"]


class BodyPace:
    """ASGI middleware: a body has `grace_s`, and more time for each byte that has come.

    Only the time that the server waits counts, so that its own work is held against nobody.

    Args:
        app: raises the `Refusal` on, when it reads a body that is too slow.
        grace_s: wait that is allowed in any case; 0: no limit.
        rate: bytes a second that are fast enough.
    """

    def __init__(self, app: ASGIApp, grace_s: float, rate: float) -> None:
        self._app = app
        self._grace_s = grace_s
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, its body under watch."""
        watched = scope["type"] == "http" and self._grace_s > 0
        await self._app(scope, self._watched(receive) if watched else receive, send)

    def _watched(self, receive: Receive) -> Receive:
        loop = asyncio.get_running_loop()
        seen, waited, whole = 0, 0.0, False

        async def watched() -> Message:
            nonlocal seen, waited, whole
            if whole:  # what comes now is the disconnect, however late
                return await receive()
            began = loop.time()
            left = self._grace_s + seen / self._rate - waited
            try:
                async with asyncio.timeout(left):
                    message = await receive()
            except TimeoutError:
                raise Refusal(
                    ErrorCode.UPLOAD_TOO_SLOW,
                    f"{seen} bytes of the body came in {waited + left:.0f} s, "
                    f"expected {self._rate:g} bytes a second",
                ) from None
            waited += loop.time() - began
            seen += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            return message

        return watched
