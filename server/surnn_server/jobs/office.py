"""What the routes may ask of jobs: submit, look, fetch, cancel. No HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import BinaryIO

from surnn.scan import FileScore
from surnn_server.auth import Principal
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.jobs.desk import Desk
from surnn_server.jobs.runner import JobRunner
from surnn_server.jobs.types import Job, JobOptions, JobState
from surnn_server.service import Service, ServiceState

__all__ = ["Jobs"]

log = logging.getLogger(__name__)

_TIDY_S = 600.0
_NEWS_S = 0.5
"""Time between looks at a running job, and the least time between two messages about it."""
_MAX_WATCHERS = 256


class Jobs:
    """The jobs of one app.

    Args:
        service: knows the models, and scores.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._settings = service.settings
        self.desk = Desk(service.settings, self._ended)
        self._runner = JobRunner(service, self.desk)
        self._waiting: dict[str, str] = {}
        """Owners of the jobs that are not over."""
        self._submitting: Counter[str] = Counter()
        self._watchers = 0
        self._tidying: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Go on with the jobs of the folder, if there is one.

        Raises `InvalidConfig` when another server uses it, `OSError` when it cannot be made.
        """
        self._runner.start()
        self._tidying = asyncio.create_task(self._tidy())
        if self._settings.data_dir:
            await self._open()

    async def stop(self) -> None:
        """Put jobs that run aside until the next start."""
        if self._tidying is not None:
            self._tidying.cancel()
        await self._runner.stop()
        await self.desk.close()

    @asynccontextmanager
    async def place(self, client: Principal) -> AsyncIterator[None]:
        """A place for one more job, to be held while it is submitted. Raises `Refusal`."""
        owner = client.name
        own = sum(o == owner for o in self._waiting.values()) + self._submitting[owner]
        client.quota.check_jobs(own)
        waiting = len(self._waiting) + self._submitting.total()
        if waiting >= self._settings.job_queue:
            raise Refusal(
                ErrorCode.AT_CAPACITY,
                f"{waiting} jobs wait or run, expected fewer: try again later",
            )
        self._submitting[owner] += 1
        try:
            yield
        finally:
            self._submitting[owner] -= 1

    async def submit(
        self, options: JobOptions, uploads: Sequence[tuple[str, BinaryIO]], client: Principal
    ) -> Job:
        """A new job, which is the client's. Raises `Refusal`."""
        if options.format.single_file and len(uploads) > 1:
            raise Refusal(
                ErrorCode.INVALID_CONFIG,
                f"{len(uploads)} files, expected one: {options.format.value} has no place for "
                "their names",
            )
        if not self.desk.opened:
            await self._open()
        job = await self.desk.submit(options, uploads, client.name)
        self._add(job.id, client.name)
        log.info("job %s: %d files for model %s", job.id, job.files, options.model)
        return job

    async def get(self, id: str, client: Principal) -> Job:
        """The job as it stands. Raises `Refusal`, also for a job of somebody else."""
        job = await self.desk.get(id)
        # The same answer for both: nobody learns which jobs others have.
        if job is None or not client.owns(job.owner):
            raise Refusal(
                ErrorCode.UNKNOWN_JOB,
                f"no job {id[:40]!r}, expected one that was not deleted and has not expired",
            )
        if job.state.final:
            return job
        return replace(job, seconds=job.seconds + self._runner.seconds(id))

    async def newest(self, limit: int, client: Principal) -> list[Job]:
        """The client's newest jobs, newest first."""
        return await self.desk.newest(limit, None if client.owns_all else client.name)

    async def cancel(self, id: str, client: Principal) -> Job:
        """Stop the job if it is not over; forget it if it is. Raises `Refusal`."""
        job = await self.get(id, client)
        if job.state.final:
            await self.desk.delete(id)
            return job
        self._runner.cancel(id)
        # Nobody reads its files from here on: the runner has no more results of it to keep.
        await self._runner.released(id)
        await self.desk.finish(id, JobState.CANCELLED)
        return await self.get(id, client)

    def result(
        self, id: str, render: Callable[[Iterator[FileScore]], Iterator[str]]
    ) -> AsyncIterator[str]:
        """The text that `render` makes of the job's scores so far, as it grows."""
        return self.desk.pieces(id, render)

    async def watch(self, id: str, client: Principal) -> AsyncGenerator[Job | None, None]:
        """The job now and whenever it has changed, until it is over; None now and then.

        Raises `Refusal`.
        """
        if self._watchers >= _MAX_WATCHERS:
            raise Refusal(
                ErrorCode.AT_CAPACITY, f"{self._watchers} clients watch jobs, expected fewer"
            )
        self._watchers += 1
        try:
            job = await self.get(id, client)
            yield job
            while not job.state.final and self._service.state is ServiceState.READY:
                await self.desk.changed(_NEWS_S)
                newer = await self.desk.get(id)
                if newer is None:
                    return
                newer = await self.get(id, client)
                yield None if newer == job else newer
                job = newer
        finally:
            self._watchers -= 1

    async def _open(self) -> None:
        try:
            unfinished = await self.desk.open()
        except OSError as error:
            if self._settings.data_dir:
                raise
            log.exception("no temporary folder for jobs")
            raise Refusal(
                ErrorCode.STORAGE_FULL, "there is no folder for jobs, expected 'data_dir' to be set"
            ) from error
        for id, owner in unfinished.items():
            self._add(id, owner)
        if unfinished:
            log.info("going on with %d jobs", len(unfinished))

    def _add(self, id: str, owner: str) -> None:
        self._waiting[id] = owner
        self._service.metrics.jobs.set(len(self._waiting))
        self._runner.add(id)

    def _ended(self, job: Job) -> None:
        self._waiting.pop(job.id, None)
        self._service.metrics.jobs.set(len(self._waiting))
        self._service.metrics.jobs_ended.labels(job.options.model, job.state.value).inc()

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_S)
            with contextlib.suppress(Refusal):
                await self.desk.tidy()
