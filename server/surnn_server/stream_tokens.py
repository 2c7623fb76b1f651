"""Short-lived tokens that let a browser open streams without knowing an API key.

Fernet (AES-128-CBC and HMAC-SHA256) from the `cryptography` package. The first key seals, all
keys open. A token is good for any number of connections until it expires.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import BaseModel, ConfigDict, ValidationError

from surnn import InvalidConfig
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.tokens import canonical

__all__ = ["Grant", "StreamTokens"]

_MAX_CHARS = 2000


class Grant(BaseModel):
    """What a token allows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    """Name of the API key that it was made with; empty where no keys are needed."""
    model: str | None = None
    """The only model that it is good for."""
    expires: float
    """Seconds since the epoch."""


class StreamTokens:
    """Makes tokens and reads them.

    Args:
        keys: 32 url-safe base64 bytes each; none: a random one, good until the server stops.
        clock: seconds since the epoch.

    Raises `InvalidConfig`.
    """

    def __init__(self, keys: Sequence[str] = (), clock: Callable[[], float] = time.time) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys or (Fernet.generate_key(),)])
        except ValueError:
            raise InvalidConfig(
                "a token key is no key, expected 32 url-safe base64 bytes"
            ) from None
        self._clock = clock

    def make(self, key: str, model: str | None, ttl_s: float) -> str:
        """A token that expires after `ttl_s`."""
        grant = Grant(key=key, model=model, expires=self._clock() + ttl_s)
        return self._fernet.encrypt(grant.model_dump_json().encode()).decode()

    def read(self, token: str) -> Grant:
        """What the token allows. Raises `Refusal`."""
        if len(token) > _MAX_CHARS:
            raise self._refusal("is too long")
        if not canonical(token):
            raise self._refusal("is not what a server wrote, or was changed since")
        try:
            grant = Grant.model_validate_json(self._fernet.decrypt(token.encode()))
        except (InvalidToken, ValidationError):
            raise self._refusal("was not made by this server, or was changed since") from None
        age = self._clock() - grant.expires
        if age >= 0:
            raise self._refusal(f"expired {math.ceil(age)} s ago")
        return grant

    def _refusal(self, seen: str) -> Refusal:
        return Refusal(
            ErrorCode.UNAUTHORISED, f"stream token {seen}, expected one of `POST /v1/tokens`"
        )
