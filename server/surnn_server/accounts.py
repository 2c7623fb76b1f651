"""Where limits are counted: in this process, or in memory that several share. No I/O."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Account", "Accounts", "Level", "LocalAccount", "LocalAccounts"]


class Level(Protocol):
    """How full an allowance is."""

    amount: float
    """When full; 0: never used."""
    level: float
    filled: float
    """When the level was worked out, in seconds of the monotonic clock."""


class Account(Protocol):
    """What one API key, or all of them, have used. To be touched under its lock."""

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held while the account is read and changed."""
        ...

    @property
    def sessions(self) -> int:
        """Sessions now."""
        ...

    def add_sessions(self, count: int) -> None:
        """Sessions begin, or end where negative."""
        ...

    @property
    def requests(self) -> Level:
        """Requests in a minute."""
        ...

    @property
    def audio(self) -> Level:
        """Seconds of audio in an hour."""
        ...


class Accounts(Protocol):
    """Finds accounts by name."""

    def account(self, name: str) -> Account:
        """The account of that name, the same at every call."""
        ...


@dataclass
class _LocalLevel:
    amount: float = 0.0
    level: float = 0.0
    filled: float = 0.0


class LocalAccount:
    """An account in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sessions = 0
        self.requests: Level = _LocalLevel()
        self.audio: Level = _LocalLevel()

    def add_sessions(self, count: int) -> None:
        """See `Account`."""
        self.sessions += count


class LocalAccounts:
    """Accounts of this process."""

    def __init__(self) -> None:
        self._accounts: dict[str, LocalAccount] = {}

    def account(self, name: str) -> LocalAccount:
        """See `Accounts`."""
        return self._accounts.setdefault(name, LocalAccount())
