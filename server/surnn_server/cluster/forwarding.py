"""Requests that another member, or all of them, have to answer.

A request is checked (key, scope, rate) where it arrives, and goes to its owner as it came. It then
arrives over the owner's private socket, is checked again but not counted again, and is answered.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import httpx
import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from surnn_server.cluster.membership import JOBS_MEMBER, Membership
from surnn_server.cluster.merging import (
    merge_reloads,
    merge_sessions,
    merge_statistics,
)
from surnn_server.cluster.scrapes import Scrapes
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.errors import refusal_response
from surnn_server.routes.disconnect import OwningResponse

__all__ = ["Forwarding", "Peers"]

log = logging.getLogger(__name__)

_CONNECT_S = 5.0
_LOOK_S = 5.0
"""For a member to say how it does."""
_SESSION = re.compile(r"/v1/sessions/([^/]+)/state")
_STATISTICS = re.compile(r"/v2/models(/[^/]+)?(/versions/[^/]+)?/stats")
# Between two neighbours only, or set anew by whoever sends.
_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te", b"trailer", b"date"}
)
_OF_THE_BODY = frozenset({b"content-length", b"content-encoding"})

_Merge = Callable[[Sequence[Any]], Any]


class Peers:
    """The members as HTTP servers, this one included."""

    def __init__(self, membership: Membership) -> None:
        self.membership = membership
        self._clients: dict[int, httpx.AsyncClient] = {}

    def _client(self, number: int) -> httpx.AsyncClient:
        if number not in self._clients:
            self._clients[number] = httpx.AsyncClient(
                # No TLS among members: reading the system's certificates would take long.
                transport=httpx.AsyncHTTPTransport(
                    uds=str(self.membership.socket(number)), verify=False
                ),
                # An answer may take as long as a job's progress is followed.
                timeout=httpx.Timeout(None, connect=_CONNECT_S),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=16),
            )
        return self._clients[number]

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()

    async def send(
        self, number: int, scope: Scope, body: bytes | AsyncIterator[bytes]
    ) -> httpx.Response:
        """The member's answer to a request, its body not read yet. Raises `Refusal`."""
        client = self._client(number)
        path: bytes = scope["raw_path"] + (
            b"?" + scope["query_string"] if scope["query_string"] else b""
        )
        request = client.build_request(
            scope["method"],
            httpx.URL(scheme="http", host="member", raw_path=path),
            headers=[(k, v) for k, v in scope["headers"] if k not in _HOP_BY_HOP],
            content=body,
        )
        try:
            return await client.send(request, stream=True)
        except httpx.TransportError as error:
            raise _absent(error) from error

    async def answer(self, number: int, scope: Scope, body: bytes) -> Response:
        """The member's whole answer to a request with that body, unpacked. Raises `Refusal`."""
        headers = [(k, v) for k, v in scope["headers"] if k not in _OF_THE_BODY]
        answer = await self.send(number, {**scope, "headers": headers}, body)
        try:
            content = b"".join([part async for part in answer.aiter_raw()])
        except httpx.TransportError as error:
            raise _absent(error) from error
        finally:
            await answer.aclose()
        response = Response(content, answer.status_code)
        response.raw_headers = _headers(answer)
        return response


class Forwarding:
    """ASGI middleware, behind the access control: sends on what is not this member's."""

    def __init__(self, app: ASGIApp, peers: Peers) -> None:
        self._app = app
        self._peers = peers
        self._membership = peers.membership
        self._scrapes = Scrapes(peers.membership.folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer here, or let others answer."""
        if scope["type"] != "http" or self._membership.is_private(scope):
            await self._app(scope, receive, send)
            return
        try:
            response = await self._response(scope, receive)
        except Refusal as refusal:
            response = refusal_response(scope["path"], refusal)
        except ClientDisconnect:
            return
        try:
            await response(scope, receive, send)
        except httpx.TransportError as error:
            # The answer has begun: cutting it off is the only way left to say so.
            log.warning("%s cut off: its process is gone (%r)", scope["path"], error)

    async def _response(self, scope: Scope, receive: Receive) -> ASGIApp:
        path, method = scope["path"], scope["method"]
        if (method, path) == ("GET", "/metrics"):
            return await self._metrics(scope)
        merge = _merge(method, path)
        if merge is not None:
            return await self._together(scope, merge)
        owner = self._owner(path)
        if owner == self._membership.number:
            return self._app
        answer = await self._peers.send(owner, scope, _body(receive))
        owned = AsyncExitStack()
        owned.push_async_callback(answer.aclose)
        response = OwningResponse(answer.aiter_raw(), owned)
        response.status_code, response.raw_headers = answer.status_code, _headers(answer)
        return response

    def _owner(self, path: str) -> int:
        if path == "/v1/jobs" or path.startswith("/v1/jobs/"):
            return JOBS_MEMBER
        if found := _SESSION.fullmatch(path):
            return self._membership.session_owner(found[1])
        return self._membership.number

    async def _metrics(self, scope: Scope) -> Response:
        answers = await self._answers(scope)
        pages = {n: bytes(a.body).decode() for n, a in answers.items() if a.status_code == 200}
        text = await asyncio.to_thread(self._scrapes.joined, pages)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def _together(self, scope: Scope, merge: _Merge) -> Response:
        answers = (await self._answers(scope)).values()
        for answer in answers:
            if answer.status_code != 200:
                return answer
        if not answers:
            raise Refusal(ErrorCode.AT_CAPACITY, "no process answers, expected to be back soon")
        content = orjson.dumps(merge([orjson.loads(answer.body) for answer in answers]))
        return Response(content, media_type="application/json")

    async def _answers(self, scope: Scope) -> dict[int, Response]:
        """By their numbers, of all members that answer: one that is replaced now does not."""
        # What changes something may take as long as it takes.
        limit = _LOOK_S if scope["method"] == "GET" else None

        async def ask(number: int) -> Response | None:
            try:
                async with asyncio.timeout(limit):
                    return await self._peers.answer(number, scope, b"")
            except (Refusal, TimeoutError):
                return None

        numbers = range(self._membership.count)
        answers = await asyncio.gather(*map(ask, numbers))
        return {n: a for n, a in zip(numbers, answers, strict=True) if a is not None}


def _absent(error: httpx.TransportError) -> Refusal:
    return Refusal(
        ErrorCode.AT_CAPACITY,
        f"the process that owns this is not there ({type(error).__name__}), expected to be back "
        "soon: try again later",
        retry_after=1.0,
    )


def _merge(method: str, path: str) -> _Merge | None:
    """How the members' answers become one, where all have to be asked."""
    if (method, path) == ("GET", "/v1/sessions"):
        return merge_sessions
    if (method, path) == ("POST", "/v1/models/reload"):
        return merge_reloads
    if method == "GET" and _STATISTICS.fullmatch(path):
        return merge_statistics
    return None


def _headers(answer: httpx.Response) -> list[tuple[bytes, bytes]]:
    return [(k.lower(), v) for k, v in answer.headers.raw if k.lower() not in _HOP_BY_HOP]


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    """A request's body. Raises `ClientDisconnect` where it ends early."""
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if part := message.get("body", b""):
            yield part
        if not message.get("more_body", False):
            return
