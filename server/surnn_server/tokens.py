"""Sealed sessions: a token *is* the session, so any server that has the key can go on with it.

Fernet (AES-128-CBC and HMAC-SHA256, with the time of sealing) from the `cryptography` package. The
first key seals; all keys open, so a key is changed by putting the new one in front and dropping
the old one once its last token has expired.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from surnn.errors import InvalidConfig, InvalidInput, InvalidSnapshot
from surnn.snapshot import Snapshot, pack, unpack

__all__ = ["BadToken", "ExpiredToken", "TokenSealer", "canonical", "new_key"]

_MAX_CHARS = 200_000


class BadToken(InvalidInput):
    """A token that no known key has sealed, or that was changed since."""

    code = "invalid_token"


class ExpiredToken(InvalidInput):
    """A token that was sealed too long ago."""

    code = "token_expired"


def new_key() -> str:
    """A fresh random key, as `Settings.state_keys` takes it."""
    return Fernet.generate_key().decode()


class TokenSealer:
    """Turns saved sessions into opaque text and back."""

    def __init__(
        self, keys: Sequence[str], ttl_s: float, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Keys as `new_key` makes them, the sealing one first. Raises `InvalidConfig`."""
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise InvalidConfig(
                "a state key is not 32 url-safe base64 bytes, expected what `surnn key` prints"
            ) from None
        self.ttl_s = ttl_s
        self._clock = clock

    def seal(self, snapshot: Snapshot) -> str:
        """The session as text of a few KB. Raises `InvalidSnapshot` when it is too large."""
        token = self._fernet.encrypt_at_time(pack(snapshot), int(self._clock())).decode()
        if len(token) > _MAX_CHARS:
            raise InvalidSnapshot(
                f"token has {len(token)} characters, expected at most {_MAX_CHARS}"
            )
        return token

    def open(self, token: str) -> Snapshot:
        """The session in a token.

        Raises `BadToken`, `ExpiredToken`, or `InvalidSnapshot` when an older version sealed it.
        """
        if len(token) > _MAX_CHARS:
            raise BadToken(f"token has {len(token)} characters, expected at most {_MAX_CHARS}")
        if not canonical(token):
            raise BadToken("token is not what a server wrote, or was changed since")
        try:
            data = self._fernet.decrypt(token)
            sealed = self._fernet.extract_timestamp(token)
        except InvalidToken:
            raise BadToken("token was not sealed by this service, or was changed since") from None
        age = self._clock() - sealed
        if age > self.ttl_s:
            raise ExpiredToken(
                f"token was sealed {age:.0f} s ago, expected at most {self.ttl_s:.0f} s"
            )
        return unpack(data)


def canonical(token: str) -> bool:
    """Is this the one way to write these bytes?

    Decoders pass over characters that are not base64 and bits that fill up the last one, so that
    a changed token could still open.
    """
    try:
        return base64.urlsafe_b64encode(base64.urlsafe_b64decode(token)).decode() == token
    except (ValueError, binascii.Error):
        return False
