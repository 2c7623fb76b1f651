"""The members' metrics as one page whose counters never fall, whoever dies.

A member that is killed takes what it had counted along. Prometheus would read the lower sum as a
restart, and count all that the other members had ever counted as new. So a file that all share
keeps what each member said last, and what those that are gone had counted stays in the sum.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from surnn_server.cluster.merging import counters, merge_metrics

__all__ = ["Scrapes"]

_BIRTH = "surnn_start_time_seconds "


@dataclass
class _Kept:
    last: dict[str, str] = field(default_factory=dict)
    """By a member's number: its page as last seen."""
    gone: str = ""
    """Counters of those that were replaced."""
    replaced: list[str] = field(default_factory=list)
    """When they were born: who asks several members at once may hear of one that is gone."""


class Scrapes:
    """Joins the members' pages. For one thread at a time of each process.

    Args:
        folder: private to the members.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "metrics.json"
        self._lock_path = folder / "metrics.lock"
        self._thread_lock = threading.Lock()

    def joined(self, pages: Mapping[int, str]) -> str:
        """One page of what members say now, by their numbers, and have said. Does file I/O."""
        with self._locked():
            kept = self._read()
            for number, page in pages.items():
                _take(kept, str(number), page)
            self._write(kept)
        absent = [counters(page) for key, page in kept.last.items() if int(key) not in pages]
        present = [kept.last[str(number)] for number in pages]
        return merge_metrics([*present, *absent, kept.gone])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._thread_lock, self._lock_path.open("a+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            yield  # closing the file gives the lock back

    def _read(self) -> _Kept:
        try:
            return _Kept(**orjson.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return _Kept()

    def _write(self, kept: _Kept) -> None:
        new = self._path.with_suffix(".new")
        new.write_bytes(orjson.dumps(kept))
        new.replace(self._path)


def _take(kept: _Kept, key: str, page: str) -> None:
    born, last = _birth(page), kept.last.get(key)
    if born in kept.replaced:
        return
    if last is not None and _birth(last) != born:
        kept.gone = counters(merge_metrics([kept.gone, last]))
        kept.replaced.append(_birth(last))
    kept.last[key] = page


def _birth(page: str) -> str:
    """What tells a member from the one that had its number before."""
    at = page.index(f"\n{_BIRTH}") + 1 + len(_BIRTH)
    return page[at : page.index("\n", at)]
