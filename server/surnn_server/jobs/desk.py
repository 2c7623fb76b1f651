"""Jobs on the event loop: what is kept of them, and who wants to hear of changes."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TypeVar

from surnn.scan import FileScore
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.jobs import records
from surnn_server.jobs.archives import ArchiveLimits
from surnn_server.jobs.space import Space, full_disk
from surnn_server.jobs.store import JobStore
from surnn_server.jobs.types import Job, JobOptions, JobState, PendingFile
from surnn_server.settings import Settings

__all__ = ["Desk"]

log = logging.getLogger(__name__)

T = TypeVar("T")

_FILE = "jobs.sqlite3"
_PIECE = 1 << 16


class Desk:
    """Keeps jobs in a folder. All of its work with files is done in one thread.

    Args:
        settings: where the folder is, and how much may be kept.
        on_end: called once for each job that ends.
    """

    def __init__(self, settings: Settings, on_end: Callable[[Job], None]) -> None:
        self._settings = settings
        self._on_end = on_end
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="surnn-jobs")
        self._opening = asyncio.Lock()
        self._store: JobStore | None = None
        self._space: Space | None = None
        self._temporary: Path | None = None
        self._unsaved: dict[str, Job] = {}
        """Ends of jobs that found no place on the disk."""
        self._changed = asyncio.Event()

    @property
    def opened(self) -> bool:
        """Is there a folder?"""
        return self._store is not None

    async def open(self) -> dict[str, str]:
        """Open the folder; jobs that have something to do, with their owners.

        Raises `InvalidConfig` when another server uses it, `OSError` when it cannot be made.
        """
        async with self._opening:
            if self._store is not None:
                return {}
            return await self._call(self._open)

    async def close(self) -> None:
        """Close the folder; one that nobody has asked for is deleted."""
        await self._call(self._close)
        self._thread.shutdown()

    async def submit(
        self, options: JobOptions, uploads: Sequence[tuple[str, BinaryIO]], owner: str = ""
    ) -> Job:
        """Keep a new job. Raises `Refusal`."""
        id = uuid.uuid4().hex
        # Unpacking takes long: in this thread, other jobs would wait for it.
        names, size = await asyncio.to_thread(self._folder.receive, id, uploads)
        try:
            return await self._call(self._add, id, options, names, size, owner)
        except BaseException:
            await asyncio.to_thread(self._folder.drop, id)
            raise

    async def get(self, id: str) -> Job | None:
        """The job as it stands."""
        if self._store is None:
            return None
        return self._unsaved.get(id) or await self._call(self._store.get, id)

    async def newest(self, limit: int, owner: str | None = None) -> list[Job]:
        """The newest jobs, newest first: all, or those of one owner."""
        if self._store is None:
            return []
        jobs = await self._call(self._store.newest, limit, owner)
        return [self._unsaved.get(job.id, job) for job in jobs]

    async def begin(self, id: str, limit: int) -> list[PendingFile]:
        """The job's next files, which are scored from now on."""
        store = self._kept

        def begin() -> list[PendingFile]:
            files = store.pending(id, limit)
            if files:
                store.started(id, time.time())
            return files

        files = await self._call(begin)
        self._notify()
        return files

    async def open_file(self, id: str, number: int) -> BinaryIO:
        """An uploaded file."""
        return await self._call(self._folder.open, id, number)

    async def scored(self, id: str, number: int, score: FileScore) -> None:
        """Keep a file's score. Raises `Refusal` when the disk is full."""
        store, space = self._kept, self._folder

        def keep() -> None:
            store.scored(id, number, records.encode(score), score.seconds, score.error is not None)
            space.scored(id, number)

        await self._call(keep)
        self._notify()

    async def finish(self, id: str, state: JobState, error: tuple[str, str] | None = None) -> None:
        """The job is over, if it was not already. Never fails for want of space."""
        ended = await self._call(self._finish, id, state, error)
        if ended is not None:
            self._on_end(ended)
        self._notify()

    async def delete(self, id: str) -> None:
        """Forget the job."""
        self._unsaved.pop(id, None)
        await self._call(self._kept.delete, id)
        self._notify()

    async def pieces(
        self, id: str, render: Callable[[Iterator[FileScore]], Iterator[str]]
    ) -> AsyncIterator[str]:
        """The text that `render` makes of the job's scores, in larger pieces."""
        store = self._kept
        texts = render(records.decode(result) for result in store.results(id))

        def some() -> str:
            parts, size = [], 0
            for text in texts:
                parts.append(text)
                if (size := size + len(text)) > _PIECE:
                    break
            return "".join(parts)

        while piece := await self._call(some):
            yield piece

    async def tidy(self) -> None:
        """Forget what is too old, too many or too large."""
        if self._store is not None:
            await self._call(self._tidy)

    async def changed(self, timeout_s: float) -> None:
        """Wait until any job has changed, or for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()

    @property
    def _kept(self) -> JobStore:
        assert self._store is not None, "the desk was not opened"
        return self._store

    @property
    def _folder(self) -> Space:
        assert self._space is not None, "the desk was not opened"
        return self._space

    async def _call(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, functools.partial(function, *args)
        )

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # In the thread.

    def _open(self) -> dict[str, str]:
        settings = self._settings
        if settings.data_dir:
            folder = Path(settings.data_dir)
        else:
            with full_disk():
                folder = self._temporary = Path(tempfile.mkdtemp(prefix="surnn-jobs-"))
            log.warning(
                "no data_dir is set: jobs are kept in a temporary folder and do not survive a "
                "restart"
            )
        limits = ArchiveLimits(settings.max_job_files, settings.max_job_bytes)
        self._space = Space(folder, limits)
        store = JobStore(folder / _FILE)
        store.recover(time.time())
        unfinished = store.unfinished()
        self._space.drop_others(set(unfinished))
        self._store = store
        self._tidy()
        return unfinished

    def _close(self) -> None:
        if self._store is not None:
            with contextlib.suppress(Refusal):
                self._store.paused()
            self._store.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _add(self, id: str, options: JobOptions, names: list[str], size: int, owner: str) -> Job:
        store, limit = self._kept, self._settings.max_jobs_bytes
        held = store.bytes_unfinished()
        if held + size > limit:
            raise Refusal(
                ErrorCode.AT_CAPACITY,
                f"jobs of {held} bytes wait and {size} more came, expected at most {limit}: "
                "try again later",
            )
        store.add(id, options, names, size, time.time(), owner)
        self._tidy()
        job = store.get(id)
        assert job is not None, "a job was added and is gone"
        return job

    def _finish(self, id: str, state: JobState, error: tuple[str, str] | None) -> Job | None:
        job = self._unsaved.get(id) or self._kept.get(id)
        if job is None or job.state.final:
            return None
        ended = replace(job, state=state, finished=time.time(), error=error)
        # First: it makes room for what is to be written.
        self._folder.drop(id)
        try:
            self._kept.finish(ended)
            self._tidy()
        except Refusal as refusal:
            log.error("the end of job %s is not kept: %s", id, refusal.message)
            self._unsaved[id] = ended
        return ended

    def _tidy(self) -> None:
        settings = self._settings
        oldest = time.time() - settings.keep_jobs_hours * 3600.0
        for id in self._kept.expired(settings.keep_jobs, oldest, settings.max_jobs_bytes):
            log.info("job %s has expired", id)
            self._kept.delete(id)
            self._unsaved.pop(id, None)
