"""API keys in a file: names, hashes, scopes and limits; the secrets themselves are kept nowhere.

    {"keys": [{"name": "app", "hash": "sha256:9f86d0…", "scopes": ["stream"],
               "limits": {"max_sessions": 10}}]}

A secret holds 256 random bits, so one SHA-256 is enough: slow hashes protect guessable passwords.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from surnn import InvalidConfig

__all__ = ["ApiKey", "KeyLimits", "Scope", "add_key", "find_key", "read_keys"]

_PREFIX = "surnn_"
_MAX_SECRET = 256
_MAX_FILE_BYTES = 4 << 20


class Scope(StrEnum):
    """What a key may be used for."""

    STREAM = "stream"
    SCORE = "score"
    METRICS = "metrics"
    ADMIN = "admin"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeyLimits(_Frozen):
    """How much one key may do. 0 means no limit."""

    max_sessions: int = Field(
        default=0, ge=0, description="Streams and /v2 sequences at the same time"
    )
    max_jobs: int = Field(default=0, ge=0, description="Jobs that wait or run")
    requests_per_minute: float = Field(
        default=0, ge=0, allow_inf_nan=False, description="REST calls and connections"
    )
    audio_seconds_per_hour: float = Field(
        default=0, ge=0, allow_inf_nan=False, description="Stream time and length of files"
    )


class ApiKey(_Frozen):
    """One key as the file has it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    hash: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    scopes: frozenset[Scope] = Field(min_length=1)
    limits: KeyLimits = KeyLimits()


class _KeyFile(_Frozen):
    keys: tuple[ApiKey, ...] = ()

    @field_validator("keys")
    @classmethod
    def _distinct(cls, keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        names = [key.name for key in keys]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the names {twice} appear twice, expected distinct names")
        return keys


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file. Raises `InvalidConfig`, naming the file without its folder."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidConfig(
            f"keys file {path.name} cannot be read ({error.strerror}), expected a JSON file"
        ) from None
    if len(data) > _MAX_FILE_BYTES:
        raise InvalidConfig(
            f"keys file {path.name} has {len(data)} bytes, expected at most {_MAX_FILE_BYTES}"
        )
    try:
        return _KeyFile.model_validate_json(data).keys
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"]) or "content"
        raise InvalidConfig(
            f"keys file {path.name}: {where}: {problem['msg']}, expected what `surnn apikey` writes"
        ) from None


def add_key(path: Path, name: str, scopes: Iterable[Scope], limits: KeyLimits | None = None) -> str:
    """Make a key, add it to the file, and return its secret, which nothing can show again.

    Raises `InvalidConfig` when the name is taken or cannot be used.
    """
    keys = read_keys(path) if path.exists() else ()
    if any(key.name == name for key in keys):
        raise InvalidConfig(f"key {name!r} exists already, expected a new name")
    secret = _PREFIX + secrets.token_urlsafe(32)
    try:
        key = ApiKey(
            name=name,
            hash=_digest(secret),
            scopes=frozenset(scopes),
            limits=limits or KeyLimits(),
        )
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise InvalidConfig(
            f"{problem['loc'][0]} is {problem['input']!r}: {problem['msg']}"
        ) from None
    _replace(path, _KeyFile(keys=(*keys, key)).model_dump_json(indent=2) + "\n")
    return secret


def find_key(keys: Sequence[ApiKey], secret: str) -> ApiKey | None:
    """The key of that secret, in a time that tells nothing about how near a guess came."""
    if len(secret) > _MAX_SECRET:
        return None
    digest = _digest(secret)
    found = None
    for key in keys:
        if hmac.compare_digest(key.hash, digest):
            found = key
    return found


def _digest(secret: str) -> str:
    return "sha256:" + hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _replace(path: Path, text: str) -> None:
    """Write at once or not at all: a server may read the file at any moment."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
