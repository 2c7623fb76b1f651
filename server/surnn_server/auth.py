"""Who a client is and what it may do: API keys, stream tokens, or an open server. No sockets."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from surnn import InvalidConfig
from surnn_server.accounts import Accounts, LocalAccounts
from surnn_server.apikeys import ApiKey, KeyLimits, Scope, find_key, read_keys
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.origins import is_loopback
from surnn_server.quotas import Quota
from surnn_server.settings import Settings
from surnn_server.stream_tokens import StreamTokens

__all__ = ["Authenticator", "Principal"]

log = logging.getLogger(__name__)

_EXPECTED = "expected 'Authorization: Bearer KEY' or 'X-API-Key: KEY'"
_LOOK_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Principal:
    """A client that is known, or anyone where no keys are needed."""

    name: str
    """The key's; empty for anyone."""
    scopes: frozenset[Scope]
    quota: Quota
    model: str | None = None
    """The only model that it may use."""

    @property
    def owns_all(self) -> bool:
        """May it see and change what others have made?"""
        return Scope.ADMIN in self.scopes

    def owns(self, owner: str) -> bool:
        """May it see and change what the key of that name has made?"""
        return self.owns_all or self.name == owner

    def require(self, *scopes: Scope) -> None:
        """Raises `Refusal` unless one of the scopes is given."""
        if self.scopes.isdisjoint(scopes):
            names = " or ".join(f"'{scope}'" for scope in scopes)
            raise Refusal(
                ErrorCode.FORBIDDEN,
                f"scopes are {sorted(s.value for s in self.scopes)}, expected {names}",
            )

    def require_model(self, name: str) -> None:
        """Raises `Refusal` when it may not use the model."""
        if self.model not in (None, name):
            raise Refusal(
                ErrorCode.FORBIDDEN, f"model is {name!r}, expected {self.model!r} of the token"
            )


class Authenticator:
    """Knows the keys, and follows their file. Raises `InvalidConfig` when it cannot be read.

    Args:
        settings: name the file.
        clock: the monotonic one.
        accounts: where quotas are counted; None: here.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        accounts: Accounts | None = None,
    ) -> None:
        self._accounts: Accounts = accounts or LocalAccounts()
        self._path = Path(settings.api_keys_file) if settings.api_keys_file else None
        self._clock = clock
        self._quotas: dict[str, Quota] = {}
        self._looked = clock()
        self._stamp = _stamp(self._path)
        self._keys: tuple[ApiKey, ...] = read_keys(self._path) if self._path else ()
        self.tokens = StreamTokens(settings.token_keys)
        scopes = set(Scope)
        if not is_loopback(settings.host):
            # Whoever reaches an open server may use it, but not run it.
            scopes.discard(Scope.ADMIN)
        self._anyone = Principal("", frozenset(scopes), Quota(KeyLimits()))

    @property
    def open(self) -> bool:
        """May anyone come?"""
        return self._path is None

    def identify(self, authorization: str | None, api_key: str | None) -> Principal:
        """The client that sent these headers. Raises `Refusal`."""
        if self.open:
            return self._anyone
        secret = api_key
        if authorization is not None:
            kind, _, secret = authorization.partition(" ")
            if kind.lower() != "bearer":
                raise Refusal(ErrorCode.UNAUTHORISED, f"not a bearer key, {_EXPECTED}")
        if not secret:
            raise Refusal(ErrorCode.UNAUTHORISED, f"no API key, {_EXPECTED}")
        self._look()
        key = find_key(self._keys, secret.strip())
        if key is None:
            raise Refusal(ErrorCode.UNAUTHORISED, f"API key is not known, {_EXPECTED}")
        return self._principal(key)

    def identify_token(self, token: str) -> Principal:
        """The client that a stream token was made for. Raises `Refusal`."""
        grant = self.tokens.read(token)
        if self.open:
            return Principal("", frozenset({Scope.STREAM}), self._anyone.quota, grant.model)
        self._look()
        for key in self._keys:
            if key.name == grant.key and Scope.STREAM in key.scopes:
                quota = self._principal(key).quota
                return Principal(key.name, frozenset({Scope.STREAM}), quota, grant.model)
        raise Refusal(ErrorCode.UNAUTHORISED, "the token's API key is gone, expected a live one")

    def quota_of(self, name: str) -> Quota:
        """The account of the key of that name; that of anyone where there is none (any more)."""
        self._look()
        for key in self._keys:
            if key.name == name:
                return self._principal(key).quota
        return self._anyone.quota

    def _principal(self, key: ApiKey) -> Principal:
        quota = self._quotas.get(key.name)
        if quota is None:
            account = self._accounts.account(f"key {key.name}")
            quota = self._quotas[key.name] = Quota(key.limits, account=account)
        quota.change(key.limits)
        return Principal(key.name, key.scopes, quota)

    def _look(self) -> None:
        """Read the file again when it has changed: a revoked key must not wait for a restart."""
        now = self._clock()
        if self._path is None or now - self._looked < _LOOK_EVERY_S:
            return
        self._looked = now
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = read_keys(self._path)
            log.info("%d API keys read", len(self._keys))
        except InvalidConfig as error:
            log.error("%s; the keys read before stay in force", error)


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None
