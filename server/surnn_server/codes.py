"""Error codes, and how each of them ends a WebSocket or an HTTP request."""

from __future__ import annotations

from enum import IntEnum, StrEnum

from surnn import SurnnError

__all__ = ["CloseCode", "ErrorCode", "Refusal", "clipped", "code_of"]

_MAX_MESSAGE = 1000


class CloseCode(IntEnum):
    """WebSocket close codes: RFC 6455's, and our own from 4000."""

    DONE = 1000
    GOING_AWAY = 1001
    UNSUPPORTED_DATA = 1003
    INVALID_DATA = 1007
    TOO_BIG = 1009
    INTERNAL = 1011
    POLICY = 1008
    TRY_LATER = 1013
    INVALID_CONFIG = 4000
    UNAUTHORISED = 4001
    UNKNOWN_MODEL = 4004
    TOKEN_EXPIRED = 4008
    SENT_TOO_FAST = 4029
    NO_START = 4030
    IDLE = 4031
    MAX_DURATION = 4032
    SLOW_READER = 4033
    INVALID_JSON = 4100
    INVALID_MESSAGE = 4101


class ErrorCode(StrEnum):
    """The `code` of an error: stable names for programs to act on."""

    DRAINING = "draining"
    UNEXPECTED_MESSAGE = "unexpected_message"
    INVALID_AUDIO = "invalid_audio"
    MESSAGE_TOO_BIG = "message_too_big"
    INTERNAL = "internal"
    AT_CAPACITY = "at_capacity"
    INVALID_CONFIG = "invalid_config"
    UNKNOWN_MODEL = "unknown_model"
    SENT_TOO_FAST = "sent_too_fast"
    START_TIMEOUT = "start_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    MAX_DURATION = "max_duration"
    SLOW_READER = "slow_reader"
    INVALID_JSON = "invalid_json"
    INVALID_MESSAGE = "invalid_message"
    INVALID_TOKEN = "invalid_token"
    TOKEN_EXPIRED = "token_expired"
    WRONG_MODEL = "wrong_model"
    UNAUTHORISED = "unauthorised"
    FORBIDDEN = "forbidden"
    ORIGIN_REFUSED = "origin_refused"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    # Of REST only.
    INVALID_REQUEST = "invalid_request"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    UPLOAD_TOO_BIG = "upload_too_big"
    UPLOAD_TOO_SLOW = "upload_too_slow"
    INVALID_ARCHIVE = "invalid_archive"
    UNKNOWN_JOB = "unknown_job"
    NOT_FINISHED = "not_finished"
    STORAGE_FULL = "storage_full"
    AUDIO_TOO_LONG = "audio_too_long"

    @property
    def close(self) -> CloseCode:
        """How a stream that ends with this error is closed."""
        return _CLOSE.get(self, CloseCode.INTERNAL)

    @property
    def status(self) -> int:
        """The HTTP status of a request that ends with this error."""
        return _STATUS.get(self, 500)

    @property
    def retryable(self) -> bool:
        """May the same thing work later, unchanged?"""
        return self in _RETRYABLE or self in _SUSPENDING

    @property
    def suspends(self) -> bool:
        """Is the session whole when it ends so, and can go on elsewhere or later?"""
        return self in _SUSPENDING


_CLOSE = {
    ErrorCode.DRAINING: CloseCode.GOING_AWAY,
    ErrorCode.UNEXPECTED_MESSAGE: CloseCode.UNSUPPORTED_DATA,
    ErrorCode.INVALID_AUDIO: CloseCode.INVALID_DATA,
    ErrorCode.MESSAGE_TOO_BIG: CloseCode.TOO_BIG,
    ErrorCode.INTERNAL: CloseCode.INTERNAL,
    ErrorCode.AT_CAPACITY: CloseCode.TRY_LATER,
    ErrorCode.INVALID_CONFIG: CloseCode.INVALID_CONFIG,
    ErrorCode.UNKNOWN_MODEL: CloseCode.UNKNOWN_MODEL,
    ErrorCode.SENT_TOO_FAST: CloseCode.SENT_TOO_FAST,
    ErrorCode.START_TIMEOUT: CloseCode.NO_START,
    ErrorCode.IDLE_TIMEOUT: CloseCode.IDLE,
    ErrorCode.MAX_DURATION: CloseCode.MAX_DURATION,
    ErrorCode.SLOW_READER: CloseCode.SLOW_READER,
    ErrorCode.INVALID_JSON: CloseCode.INVALID_JSON,
    ErrorCode.INVALID_MESSAGE: CloseCode.INVALID_MESSAGE,
    ErrorCode.INVALID_TOKEN: CloseCode.UNKNOWN_MODEL,
    ErrorCode.WRONG_MODEL: CloseCode.UNKNOWN_MODEL,
    ErrorCode.TOKEN_EXPIRED: CloseCode.TOKEN_EXPIRED,
    ErrorCode.UNAUTHORISED: CloseCode.UNAUTHORISED,
    ErrorCode.FORBIDDEN: CloseCode.POLICY,
    ErrorCode.ORIGIN_REFUSED: CloseCode.POLICY,
    ErrorCode.RATE_LIMITED: CloseCode.TRY_LATER,
    ErrorCode.QUOTA_EXCEEDED: CloseCode.TRY_LATER,
}

_STATUS = {
    ErrorCode.INVALID_REQUEST: 422,
    ErrorCode.INVALID_CONFIG: 422,
    ErrorCode.INVALID_AUDIO: 422,
    ErrorCode.UNKNOWN_MODEL: 404,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.NOT_ACCEPTABLE: 406,
    ErrorCode.UPLOAD_TOO_BIG: 413,
    ErrorCode.UPLOAD_TOO_SLOW: 408,
    ErrorCode.INVALID_ARCHIVE: 422,
    ErrorCode.UNKNOWN_JOB: 404,
    ErrorCode.NOT_FINISHED: 409,
    ErrorCode.STORAGE_FULL: 507,
    ErrorCode.AUDIO_TOO_LONG: 413,
    ErrorCode.UNAUTHORISED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.ORIGIN_REFUSED: 403,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.QUOTA_EXCEEDED: 429,
    ErrorCode.AT_CAPACITY: 503,
    ErrorCode.DRAINING: 503,
    ErrorCode.INVALID_TOKEN: 422,
    ErrorCode.WRONG_MODEL: 409,
    ErrorCode.TOKEN_EXPIRED: 410,
}

_RETRYABLE = {
    ErrorCode.AT_CAPACITY,
    ErrorCode.INTERNAL,
    ErrorCode.SLOW_READER,
    ErrorCode.RATE_LIMITED,
}
_SUSPENDING = {
    ErrorCode.DRAINING,
    ErrorCode.IDLE_TIMEOUT,
    ErrorCode.MAX_DURATION,
    ErrorCode.QUOTA_EXCEEDED,
}

# Samples of the wrong shape or type are, to a client, audio that is not what it claims to be.
_SURNN = {
    "invalid_shape": ErrorCode.INVALID_AUDIO,
    "invalid_input": ErrorCode.INVALID_CONFIG,
    "invalid_snapshot": ErrorCode.INVALID_TOKEN,
}


def clipped(message: str) -> str:
    """The message, if need be without its middle: it may hold anything that a client has sent."""
    if len(message) <= _MAX_MESSAGE:
        return message
    half = _MAX_MESSAGE // 2
    return f"{message[:half]} … {message[-half:]}"


class Refusal(Exception):
    """What a client asked for cannot be done; ends its stream or request with an error.

    `retry_after`: seconds after which it may be worth another try.
    """

    def __init__(self, code: ErrorCode, message: str, *, retry_after: float | None = None) -> None:
        message = clipped(message)
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after


def code_of(error: SurnnError) -> ErrorCode:
    """The code that clients see for an error of surnn."""
    if error.code in _SURNN:
        return _SURNN[error.code]
    try:
        return ErrorCode(error.code)
    except ValueError:
        return ErrorCode.INTERNAL
