"""Jobs and their results in one SQLite file. Blocking: for one thread of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from surnn.errors import InvalidConfig
from surnn.formats import Format
from surnn_server.codes import ErrorCode
from surnn_server.jobs.space import full_disk
from surnn_server.jobs.types import Job, JobOptions, JobState, PendingFile

__all__ = ["JobStore"]

_VERSION = 2
_MAX_INTERRUPTIONS = 3
_SCHEMA = f"""
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, model TEXT NOT NULL, version TEXT NOT NULL, format TEXT NOT NULL,
    thresholds TEXT NOT NULL, sample_rate INTEGER, state TEXT NOT NULL,
    created REAL NOT NULL, started REAL, finished REAL,
    files INTEGER NOT NULL, done INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0, error_code TEXT, error_message TEXT,
    bytes INTEGER NOT NULL, interruptions INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL DEFAULT ''
);
CREATE TABLE files (
    job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, number INTEGER NOT NULL,
    name TEXT NOT NULL, result BLOB, PRIMARY KEY (job, number)
);
CREATE INDEX pending ON files(job, number) WHERE result IS NULL;
PRAGMA user_version = {_VERSION};
"""
_UPGRADES = {1: "ALTER TABLE jobs ADD COLUMN owner TEXT NOT NULL DEFAULT ''"}
"""From a version to the next."""
_COLUMNS = (
    "id, model, version, format, thresholds, sample_rate, state, created, started, finished, "
    "files, done, failed, seconds, error_code, error_message, owner"
)
_FINAL = tuple(state.value for state in JobState if state.final)


class JobStore:
    """Everything about jobs that survives a restart.

    Writes raise `Refusal` when the disk is full; nothing has changed then.

    Raises `InvalidConfig` when another server uses the file, or it is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=0.5, isolation_level=None)
        try:
            self._prepare(path)
        except sqlite3.Error as error:
            self._db.close()
            seen = "is used by another server" if "locked" in str(error) else f"fails ({error})"
            raise InvalidConfig(f"{path.name} {seen}, expected a jobs file of our own") from error
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, path: Path) -> None:
        # Held until the process ends, however it ends: two servers would score everything twice.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._db.execute("PRAGMA journal_mode = WAL")
        # What a power cut takes back is only computed again.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.execute("BEGIN EXCLUSIVE")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        self._db.execute("COMMIT")
        if version == 0:
            self._db.executescript(_SCHEMA)
            return
        if version != _VERSION and version not in _UPGRADES:
            raise InvalidConfig(f"{path.name} has version {version}, expected {_VERSION}")
        for old in range(version, _VERSION):
            self._db.executescript(
                f"BEGIN; {_UPGRADES[old]}; PRAGMA user_version = {old + 1}; COMMIT;"
            )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def recover(self, now: float) -> None:
        """Jobs that ran when the server ended are queued again, unless they keep ending it."""
        self._write(
            "UPDATE jobs SET state = 'queued', interruptions = interruptions + 1 "
            "WHERE state = 'running'"
        )
        self._write(
            "UPDATE jobs SET state = 'failed', finished = ?, error_code = ?, "
            "error_message = ? WHERE state = 'queued' AND interruptions >= ?",
            now,
            ErrorCode.INTERNAL.value,
            f"the server ended {_MAX_INTERRUPTIONS} times at the same files, expected it to go on",
            _MAX_INTERRUPTIONS,
        )

    def add(
        self,
        id: str,
        options: JobOptions,
        names: Sequence[str],
        size: int,
        now: float,
        owner: str = "",
    ) -> None:
        """A new job."""
        with full_disk(), self._db:
            self._db.execute("BEGIN")
            self._db.execute(
                "INSERT INTO jobs (id, model, version, format, thresholds, sample_rate, state, "
                "created, files, bytes, owner) VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?)",
                (
                    id,
                    options.model,
                    options.version,
                    options.format.value,
                    orjson.dumps(options.thresholds).decode(),
                    options.sample_rate,
                    now,
                    len(names),
                    size,
                    owner,
                ),
            )
            self._db.executemany(
                "INSERT INTO files (job, number, name) VALUES (?, ?, ?)",
                ((id, number, name) for number, name in enumerate(names)),
            )

    def get(self, id: str) -> Job | None:
        """The job as it stands."""
        row = self._db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (id,)).fetchone()
        return None if row is None else _job(row)

    def newest(self, limit: int, owner: str | None = None) -> list[Job]:
        """The newest jobs, newest first: all, or those of one owner."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM jobs WHERE ? IS NULL OR owner = ? "
            "ORDER BY created DESC, id LIMIT ?",
            (owner, owner, limit),
        )
        return [_job(row) for row in rows]

    def unfinished(self) -> dict[str, str]:
        """Jobs that have something to do, oldest first, with their owners."""
        rows = self._db.execute(
            "SELECT id, owner FROM jobs WHERE state IN ('queued', 'running') ORDER BY created, id"
        )
        return dict(rows.fetchall())

    def pending(self, id: str, limit: int) -> list[PendingFile]:
        """The next files of a job to be scored."""
        rows = self._db.execute(
            "SELECT number, name FROM files WHERE job = ? AND result IS NULL "
            "ORDER BY number LIMIT ?",
            (id, limit),
        )
        return [PendingFile(*row) for row in rows]

    def started(self, id: str, now: float) -> None:
        """The job is being worked on."""
        self._write(
            "UPDATE jobs SET state = 'running', started = ifnull(started, ?) WHERE id = ?", now, id
        )

    def paused(self) -> None:
        """The server ends as it should: that interrupts no job."""
        self._write("UPDATE jobs SET state = 'queued' WHERE state = 'running'")

    def scored(self, id: str, number: int, result: bytes, seconds: float, failed: bool) -> None:
        """A file has been scored."""
        with full_disk(), self._db:
            self._db.execute("BEGIN")
            self._db.execute(
                "UPDATE files SET result = ? WHERE job = ? AND number = ?", (result, id, number)
            )
            self._db.execute(
                "UPDATE jobs SET done = done + 1, failed = failed + ?, seconds = seconds + ?, "
                "bytes = bytes + ?, interruptions = 0 WHERE id = ?",
                (failed, seconds, len(result), id),
            )

    def finish(self, job: Job) -> None:
        """The job is over, as it says."""
        code, message = job.error or (None, None)
        self._write(
            "UPDATE jobs SET state = ?, finished = ?, error_code = ?, error_message = ?, "
            "bytes = (SELECT ifnull(sum(length(result)), 0) FROM files WHERE job = jobs.id) "
            "WHERE id = ?",
            job.state.value,
            job.finished,
            code,
            message,
            job.id,
        )

    def results(self, id: str) -> Iterator[bytes]:
        """The results of a job's files so far, in the order in which the files came."""
        number = -1
        # Not one long query: it would keep the file from being written for as long.
        while rows := self._db.execute(
            "SELECT number, result FROM files WHERE job = ? AND number > ? "
            "AND result IS NOT NULL ORDER BY number LIMIT 64",
            (id, number),
        ).fetchall():
            for _, result in rows:
                yield result
            number = rows[-1][0]

    def delete(self, id: str) -> None:
        """Forget the job."""
        self._write("DELETE FROM jobs WHERE id = ?", id)
        self._db.execute("PRAGMA incremental_vacuum").fetchall()

    def bytes_unfinished(self) -> int:
        """What jobs that are not over hold."""
        row = self._db.execute("SELECT ifnull(sum(bytes), 0) FROM jobs WHERE finished IS NULL")
        return int(row.fetchone()[0])

    def bytes_total(self) -> int:
        """What all jobs hold."""
        return int(self._db.execute("SELECT ifnull(sum(bytes), 0) FROM jobs").fetchone()[0])

    def expired(self, keep: int, oldest: float, max_bytes: int) -> list[str]:
        """Jobs that are over and too many, too old, or too large together with newer ones."""
        rows = self._db.execute(
            f"SELECT id, finished, bytes FROM jobs WHERE state IN {_FINAL} "
            "ORDER BY finished DESC, id"
        ).fetchall()
        total = self.bytes_unfinished()
        expired = []
        for position, (id, finished, size) in enumerate(rows):
            total += size
            if position >= keep or finished < oldest or total > max_bytes:
                expired.append(id)
        return expired

    def _write(self, statement: str, *values: object) -> None:
        with full_disk():
            self._db.execute(statement, values)


def _job(row: tuple[object, ...]) -> Job:
    id, model, version, format, thresholds, rate, state, *rest = row
    created, started, finished, files, done, failed, seconds, code, message, owner = rest
    return Job(
        id=str(id),
        options=JobOptions(
            str(model), str(version), Format(str(format)), orjson.loads(str(thresholds)), _int(rate)
        ),
        state=JobState(str(state)),
        created=_float(created) or 0.0,
        started=_float(started),
        finished=_float(finished),
        files=_int(files) or 0,
        done=_int(done) or 0,
        failed=_int(failed) or 0,
        seconds=_float(seconds) or 0.0,
        error=None if code is None else (str(code), str(message)),
        owner=str(owner),
    )


def _int(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
