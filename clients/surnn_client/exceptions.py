"""Every error that the client raises on purpose.

    ClientError
    ├── InvalidArgument        a call cannot be right, whatever the server says
    ├── ConnectionFailed       nobody answers there, or not in this protocol
    ├── ConnectionLost         an open connection ended without a word
    ├── StreamClosed           the stream was used after its end
    ├── ProtocolViolation      the server sent what this protocol does not know
    └── ServerError            the server named an error: `code` says which
        ├── InvalidRequest     it will not take what was sent: change it
        ├── NotAllowed         it wants an API key, or another one
        ├── ServerBusy         it has no room now: try again later
        ├── SessionExpired     the session sat idle or ran for too long
        └── ServerFault        it failed: not the caller's fault

Each carries `code` (stable, machine-readable), `message`, `close_code` (of the WebSocket, where
there was one) and `retryable` (may the same call succeed later?).
"""

from __future__ import annotations

__all__ = [
    "ClientError",
    "ConnectionFailed",
    "ConnectionLost",
    "InvalidArgument",
    "InvalidRequest",
    "NotAllowed",
    "ProtocolViolation",
    "ServerBusy",
    "ServerError",
    "ServerFault",
    "SessionExpired",
    "StreamClosed",
    "server_error",
]


class ClientError(Exception):
    """Base of all errors that the client raises on purpose."""

    default_code = "client_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        close_code: int | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.close_code = close_code
        self.retryable = retryable


class InvalidArgument(ClientError, ValueError):
    """A call cannot be right, whatever the server says."""

    default_code = "invalid_argument"


class ConnectionFailed(ClientError):
    """Nobody answers at the address, or not in this protocol."""

    default_code = "connection_failed"


class ConnectionLost(ClientError):
    """An open connection ended without an error message and without a summary."""

    default_code = "connection_lost"


class StreamClosed(ClientError):
    """The stream was used after its end."""

    default_code = "stream_closed"


class ProtocolViolation(ClientError):
    """The server sent what this protocol does not know."""

    default_code = "protocol_violation"


class ServerError(ClientError):
    """The server named an error; `code` says which."""

    default_code = "server_error"


class InvalidRequest(ServerError):
    """The server will not take what was sent."""


class NotAllowed(ServerError):
    """The server wants an API key, or one that may do more."""


class ServerBusy(ServerError):
    """The server has no room now."""


class SessionExpired(ServerError):
    """The session sat idle or ran for too long."""


class ServerFault(ServerError):
    """The server failed."""


_BY_CODE: dict[str, type[ServerError]] = {
    "at_capacity": ServerBusy,
    "draining": ServerBusy,
    "sent_too_fast": ServerBusy,
    "slow_reader": ServerBusy,
    "rate_limited": ServerBusy,
    "quota_exceeded": ServerBusy,
    "unauthorised": NotAllowed,
    "forbidden": NotAllowed,
    "origin_refused": NotAllowed,
    "idle_timeout": SessionExpired,
    "max_duration": SessionExpired,
    "token_expired": SessionExpired,
    "wrong_model": InvalidRequest,
    "internal": ServerFault,
    "unexpected_message": InvalidRequest,
    "message_too_big": InvalidRequest,
    "unknown_model": InvalidRequest,
    "not_acceptable": InvalidRequest,
    "not_found": InvalidRequest,
    "method_not_allowed": InvalidRequest,
    "upload_too_big": InvalidRequest,
    "audio_too_long": InvalidRequest,
}


def server_error(
    code: str, message: str, *, close_code: int | None = None, retryable: bool = False
) -> ServerError:
    """The exception for an error that the server named."""
    kind = _BY_CODE.get(code, InvalidRequest if code.startswith("invalid_") else ServerError)
    return kind(message, code=code, close_code=close_code, retryable=retryable)
