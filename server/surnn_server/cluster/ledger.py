"""Accounts in memory that all members of a server share.

A file of one fixed size, mapped by every member and the supervisor. Each account counts sessions
for each member by itself, so that those of a member that was killed can be struck off. The lock
is one that the system takes back from the dead.
"""

from __future__ import annotations

import fcntl
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from surnn_server.codes import ErrorCode, Refusal

__all__ = ["Ledger", "SharedAccount"]

_ACCOUNTS = 1 << 15
"""More than a file of API keys can hold; memory is taken for those that are used."""
_LEVEL = [("amount", "<f8"), ("level", "<f8"), ("filled", "<f8")]


class Ledger:
    """The file as one member sees it.

    Args:
        path: of the file; made where there is none.
        members: how many there are.
        member: which one this is.
    """

    def __init__(self, path: Path, members: int, member: int = 0) -> None:
        row = np.dtype(
            [("name", "S16"), ("requests", _LEVEL), ("audio", _LEVEL), ("sessions", "<i4", members)]
        )
        self._file = path.open("a+b")
        self._file.truncate(_ACCOUNTS * row.itemsize)
        self._rows: Any = np.memmap(path, row, "r+", shape=(_ACCOUNTS,))
        self._known: dict[str, SharedAccount] = {}
        # The file's lock is between processes; threads of one need their own.
        self._thread_lock = threading.Lock()
        self.member = member

    @property
    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held while accounts are read and changed; for microseconds."""
        with self._thread_lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def account(self, name: str) -> SharedAccount:
        """The account of that name. Raises `Refusal` when there are too many."""
        if name not in self._known:
            with self.lock:
                self._known[name] = SharedAccount(self, self._rows[self._place(name)])
        return self._known[name]

    def forget(self, member: int) -> None:
        """A member is gone, and all of its sessions."""
        with self.lock:
            self._rows["sessions"][:, member] = 0

    def close(self) -> None:
        """Let go of the file."""
        self._known.clear()
        self._rows = None
        self._file.close()

    def _place(self, name: str) -> int:
        # A name may be of any length; 127 bits of its digest are as good, and never all zeros.
        digest = hashlib.sha256(name.encode()).digest()[:15] + b"\1"
        first = int.from_bytes(digest[:4], "little")
        for step in range(_ACCOUNTS):
            place = (first + step) % _ACCOUNTS
            seen = self._rows["name"][place]
            if seen in (b"", digest):
                self._rows["name"][place] = digest
                return place
        raise Refusal(ErrorCode.AT_CAPACITY, f"{_ACCOUNTS} accounts are in use, expected fewer")


class _SharedLevel:
    def __init__(self, cell: Any) -> None:
        self._cell = cell

    @property
    def amount(self) -> float:
        return float(self._cell["amount"])

    @amount.setter
    def amount(self, value: float) -> None:
        self._cell["amount"] = value

    @property
    def level(self) -> float:
        return float(self._cell["level"])

    @level.setter
    def level(self, value: float) -> None:
        self._cell["level"] = value

    @property
    def filled(self) -> float:
        return float(self._cell["filled"])

    @filled.setter
    def filled(self, value: float) -> None:
        self._cell["filled"] = value


class SharedAccount:
    """One account of a ledger (see `surnn_server.accounts.Account`)."""

    def __init__(self, ledger: Ledger, row: Any) -> None:
        self._ledger = ledger
        self._sessions = row["sessions"]
        self.requests = _SharedLevel(row["requests"])
        self.audio = _SharedLevel(row["audio"])

    @property
    def lock(self) -> Any:
        """See `Account`."""
        return self._ledger.lock

    @property
    def sessions(self) -> int:
        """Sessions now, of all members."""
        return int(self._sessions.sum())

    def add_sessions(self, count: int) -> None:
        """Sessions of this member begin, or end where negative."""
        self._sessions[self._ledger.member] += count
