"""Access control in front of every route: what is not named here needs a key."""

from __future__ import annotations

import logging

from starlette.datastructures import Headers, QueryParams
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from surnn_server import replies
from surnn_server.apikeys import Scope
from surnn_server.auth import Authenticator, Principal
from surnn_server.cluster.membership import Membership
from surnn_server.codes import Refusal
from surnn_server.errors import refusal_response
from surnn_server.metrics import Metrics
from surnn_server.origins import check_host, check_origin, is_loopback
from surnn_server.settings import Settings

__all__ = ["AccessControl", "principal_of", "required_scopes"]

log = logging.getLogger(__name__)

_OPEN = frozenset({"/healthz", "/readyz"})
_ANY = tuple(Scope)
# The first prefix that fits decides.
_RULES: tuple[tuple[str, tuple[Scope, ...]], ...] = (
    ("/metrics", (Scope.METRICS, Scope.ADMIN)),
    ("/v1/models/reload", (Scope.ADMIN,)),
    ("/v1/models", _ANY),
    ("/v1/sessions", (Scope.ADMIN,)),
    ("/v1/stream", (Scope.STREAM,)),
    ("/v1/tokens", (Scope.STREAM,)),
    ("/v1/score", (Scope.SCORE,)),
    ("/v1/jobs", (Scope.SCORE, Scope.ADMIN)),
    ("/v2/health", ()),
    ("/v2", (Scope.STREAM, Scope.SCORE)),
)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_STATE = "surnn_principal"


def required_scopes(path: str) -> tuple[Scope, ...]:
    """Scopes of which a client needs one; none for what everyone may see."""
    if path in _OPEN:
        return ()
    for prefix, scopes in _RULES:
        if path == prefix or path.startswith(f"{prefix}/"):
            return scopes
    return _ANY


def principal_of(connection: HTTPConnection) -> Principal:
    """Who sent the request."""
    principal = connection.scope[_STATE]
    assert isinstance(principal, Principal), "the route lies behind the access control"
    return principal


class AccessControl:
    """ASGI middleware: identifies the client, checks scope, origin and rate.

    A WebSocket that is refused is accepted, told why, and closed: browsers show nothing of a
    handshake that fails.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Authenticator,
        settings: Settings,
        metrics: Metrics,
        membership: Membership | None = None,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._settings = settings
        self._metrics = metrics
        self._membership = membership
        self._local = is_loopback(settings.host)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Let the client through, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except Refusal as refusal:
            self._metrics.error(refusal.code)
            if scope["type"] == "http":
                response = refusal_response(scope["path"], refusal)
                await response(scope, receive, send)
            else:
                self._metrics.rejected.labels(refusal.code.value).inc()
                log.info("connection refused: %s: %s", refusal.code.value, refusal.message)
                await _refuse(refusal, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: AsgiScope) -> None:
        headers = Headers(scope=scope)
        streaming = scope["type"] == "websocket"
        if self._local and self._authenticator.open:
            check_host(headers.get("host"), self._settings.allowed_origins)
        if streaming or scope["method"] not in _SAFE:
            check_origin(
                headers.get("origin"),
                headers.get("host"),
                self._settings.allowed_origins,
                local=self._local,
            )
        needed = required_scopes(scope["path"])
        if not needed:
            return
        token = QueryParams(scope["query_string"]).get("token") if streaming else None
        if token is not None:
            principal = self._authenticator.identify_token(token)
        else:
            principal = self._authenticator.identify(
                headers.get("authorization"), headers.get("x-api-key")
            )
        principal.require(*needed)
        if self._membership is None or not self._membership.is_private(scope):
            principal.quota.request()
        scope[_STATE] = principal


async def _refuse(refusal: Refusal, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    reply = replies.error(refusal.code, refusal.message, refusal.retry_after)
    await send({"type": "websocket.send", "text": replies.encode(reply, 0).decode()})
    await send(
        {"type": "websocket.close", "code": refusal.code.close, "reason": refusal.code.value}
    )
