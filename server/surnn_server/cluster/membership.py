"""Which members there are, and which of them a request belongs to. No I/O."""

from __future__ import annotations

import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path

from starlette.types import Scope

from surnn_server.cluster.ledger import Ledger

__all__ = ["Membership"]

JOBS_MEMBER = 0
"""Jobs are one queue with one runner and one file."""


@dataclass(frozen=True)
class Membership:
    """A member's place among the others."""

    number: int
    count: int
    folder: Path
    """Private to the members."""
    ledger: Ledger

    @property
    def own_socket(self) -> Path:
        """Where the others reach this member."""
        return self.socket(self.number)

    def socket(self, number: int) -> Path:
        """Where a member is reached."""
        return self.folder / f"{number}.sock"

    @property
    def missing(self) -> int:
        """How many members have not come up since the server started."""
        # The socket of one that died later stays until the next one takes its place.
        return self.count - sum(self.socket(number).exists() for number in range(self.count))

    def is_private(self, scope: Scope) -> bool:
        """Has another member sent this request?"""
        return bool(scope.get("server") == (str(self.own_socket), None))

    def new_session_id(self) -> str:
        """An id that says whose session it is."""
        return f"{uuid.uuid4().hex}-{self.number}"

    def session_owner(self, id: str) -> int:
        """The member that a session's id names; this one if it names none."""
        text = id.rpartition("-")[2]
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 5 else self.number
        return number if number < self.count else self.number

    def sequence_owner(self, model: str, id: int | str) -> int:
        """The member that keeps a /v2 sequence, whoever is asked."""
        return zlib.crc32(f"{model}\0{id!r}".encode()) % self.count
