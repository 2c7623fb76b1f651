"""The folder of the jobs: what was uploaded, until it has been scored."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from surnn_server.codes import ErrorCode, Refusal
from surnn_server.jobs.archives import BLOCK, FULL_DISK, ArchiveLimits, is_archive, members

__all__ = ["Space", "full_disk"]


@contextmanager
def full_disk(what: str = "jobs") -> Iterator[None]:
    """Turns the errors of a full disk into a `Refusal`; `what` is kept on it."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        raise _full(what) from error
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        raise _full(what) from error


def _full(what: str) -> Refusal:
    return Refusal(ErrorCode.STORAGE_FULL, f"the disk for {what} is full, expected free space")


class Space:
    """Uploaded files, each in the folder of its job under its number.

    Args:
        folder: made if it does not exist, for nobody else to read.
        limits: of what one job holds.
    """

    def __init__(self, folder: Path, limits: ArchiveLimits) -> None:
        self.folder = folder
        self._limits = limits
        self._uploads = folder / "uploads"
        self._uploads.mkdir(mode=0o700, parents=True, exist_ok=True)

    def receive(self, job: str, uploads: Sequence[tuple[str, BinaryIO]]) -> tuple[list[str], int]:
        """Keep the files of a new job, archives unpacked: their names and all their bytes.

        Raises `Refusal`, and keeps nothing then.
        """
        folder = self._uploads / job
        names: list[str] = []
        total = 0
        try:
            with full_disk():
                folder.mkdir(mode=0o700)
                for name, file in self._contents(uploads):
                    if len(names) >= self._limits.files:
                        raise Refusal(
                            ErrorCode.UPLOAD_TOO_BIG,
                            f"more than {self._limits.files} files, expected fewer",
                        )
                    total += _copy(file, folder / str(len(names)))
                    names.append(name)
            if not names:
                raise Refusal(
                    ErrorCode.INVALID_ARCHIVE, "no recording in it, expected at least one"
                )
        except BaseException:
            self.drop(job)
            raise
        return _distinct(names), total

    def open(self, job: str, number: int) -> BinaryIO:
        """An uploaded file."""
        return (self._uploads / job / str(number)).open("rb")

    def scored(self, job: str, number: int) -> None:
        """The file is not needed any more."""
        (self._uploads / job / str(number)).unlink(missing_ok=True)

    def drop(self, job: str) -> None:
        """Nothing of the job is needed any more."""
        shutil.rmtree(self._uploads / job, ignore_errors=True)

    def drop_others(self, jobs: set[str]) -> None:
        """Whatever an interrupted upload has left behind is not needed."""
        for folder in self._uploads.iterdir():
            if folder.name not in jobs:
                self.drop(folder.name)

    def _contents(self, uploads: Sequence[tuple[str, BinaryIO]]) -> Iterator[tuple[str, IO[bytes]]]:
        archives = [name for name, _ in uploads if is_archive(name)]
        if len(archives) > 1:
            raise Refusal(
                ErrorCode.INVALID_ARCHIVE, f"{len(archives)} archives, expected at most one"
            )
        for name, file in uploads:
            if is_archive(name):
                yield from members(file, name, self._limits)
            else:
                file.seek(0)
                yield name, file


def _copy(source: IO[bytes], path: Path) -> int:
    total = 0
    with path.open("xb") as target:
        while block := source.read(BLOCK):
            target.write(block)
            total += len(block)
    return total


def _distinct(names: list[str]) -> list[str]:
    """Results name their files: two `a.wav` become `a.wav` and `a (2).wav`."""
    seen: set[str] = set()
    distinct = []
    for name in names:
        candidate, count = name, 1
        while candidate in seen:
            count += 1
            path = PurePosixPath(name)
            candidate = str(path.with_name(f"{path.stem} ({count}){path.suffix}"))
        seen.add(candidate)
        distinct.append(candidate)
    return distinct
