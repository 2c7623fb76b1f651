"""Who may read and write other people's sessions: whoever has the admin key."""

from __future__ import annotations

import hmac

from starlette.requests import Request

from surnn_server.codes import ErrorCode, Refusal
from surnn_server.dependencies import service_of

__all__ = ["require_admin"]


async def require_admin(request: Request) -> None:
    """Raises `Refusal` unless the request carries the admin key as its bearer token."""
    key = service_of(request.app).settings.admin_key
    if key is None:
        raise Refusal(
            ErrorCode.FORBIDDEN,
            "sessions are closed here: this server was given no admin_key",
        )
    seen = request.headers.get("authorization", "")
    if not hmac.compare_digest(seen.encode(), f"Bearer {key}".encode()):
        raise Refusal(
            ErrorCode.UNAUTHORISED,
            f"admin key is {'wrong' if seen else 'missing'}, expected 'Authorization: Bearer ...'",
        )
