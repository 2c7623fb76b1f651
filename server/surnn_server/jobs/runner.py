"""Working through jobs: a few files at a time, in turns; each result is kept at once."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

from surnn import Model
from surnn.score import FileScore
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.jobs import records
from surnn_server.jobs.desk import Desk
from surnn_server.jobs.types import Job, JobState, PendingFile
from surnn_server.scoring import Cancelled, ScoreJob
from surnn_server.service import Service

__all__ = ["JobRunner"]

log = logging.getLogger(__name__)

_FILES_AT_A_TIME = 8
"""After these, another job or a request to /v1/score gets its turn."""
_LONGEST_WAIT_S = 60.0


class _OutOfQuota(Exception):
    """A job's owner may have no more audio for `wait_s`."""

    def __init__(self, wait_s: float) -> None:
        super().__init__()
        self.wait_s = wait_s


class JobRunner:
    """Scores the files of all jobs, in turns of a few files.

    It takes its turns among the requests to /v1/score, so that jobs and requests together use no
    more threads than these alone, and live streams keep theirs.

    Args:
        service: knows the models, and scores.
        desk: keeps the jobs.
    """

    def __init__(self, service: Service, desk: Desk) -> None:
        self._service = service
        self._desk = desk
        self._waiting: deque[str] = deque()
        self._wake = asyncio.Event()
        self._cancelled: set[str] = set()
        self._active: str | None = None
        self._turned = asyncio.Event()
        self._current: tuple[str, ScoreJob] | None = None
        self._kept_seconds = 0.0
        """Of the recordings that are being scored now."""
        self._later: dict[str, asyncio.TimerHandle] = {}
        """Jobs whose owners have used up their audio for now."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop after the block that is computed now; what was not kept is computed again."""
        if self._task is None:
            return
        for timer in self._later.values():
            timer.cancel()
        if self._current is not None:
            self._current[1].cancel()
        self._task.cancel()
        await asyncio.wait({self._task})

    def add(self, id: str) -> None:
        """A job has something to do."""
        self._waiting.append(id)
        self._wake.set()

    def cancel(self, id: str) -> None:
        """The job's files are not to be scored any more."""
        self._cancelled.add(id)
        if self._current is not None and self._current[0] == id:
            self._current[1].cancel()

    async def released(self, id: str) -> None:
        """Wait until none of the job's files is being scored."""
        while self._active == id:
            await self._turned.wait()

    def seconds(self, id: str) -> float:
        """What of the job's recordings was scored, but not kept yet."""
        if self._current is None or self._current[0] != id:
            return 0.0
        progress = self._current[1].progress
        return 0.0 if progress is None else max(0.0, progress.seconds - self._kept_seconds)

    async def _run(self) -> None:
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            self._active = id = self._waiting.popleft()
            try:
                more = await self._turn(id)
            except _OutOfQuota as early:
                self._put_off(id, early.wait_s)
            except Refusal as refusal:
                await self._fail(id, refusal.code, refusal.message)
            except Exception:
                log.exception("job %s failed", id)
                await self._fail(id, ErrorCode.INTERNAL, "the server failed to score the files")
            else:
                if more:
                    self._waiting.append(id)
                else:
                    self._cancelled.discard(id)
            self._active = None
            self._turned.set()
            self._turned = asyncio.Event()

    async def _turn(self, id: str) -> bool:
        """Score the job's next files. Returns whether there may be more."""
        job = await self._desk.get(id)
        if job is None or job.state.final or id in self._cancelled:
            return False
        model = self._model(job)
        if job.done < job.files:
            self._check_quota(job)
        files = await self._desk.begin(id, _FILES_AT_A_TIME)
        if not files:
            await self._desk.finish(id, JobState.DONE)
            log.info("job %s done: %d files, %d failed", id, job.files, job.failed)
            return False
        try:
            await self._score(job, model, files)
        except Cancelled:
            return id not in self._cancelled
        return True

    def _check_quota(self, job: Job) -> None:
        try:
            self._service.authenticator.quota_of(job.owner).audio(0.0)
        except Refusal as refusal:
            raise _OutOfQuota(refusal.retry_after or _LONGEST_WAIT_S) from None

    def _put_off(self, id: str, wait_s: float) -> None:
        """The job goes on once its owner may have more audio."""

        def again() -> None:
            del self._later[id]
            self.add(id)

        # Limits can be raised meanwhile: look now and then.
        delay = min(wait_s, _LONGEST_WAIT_S)
        self._later[id] = asyncio.get_running_loop().call_later(delay, again)

    def _model(self, job: Job) -> Model:
        model = self._service.find(job.options.model)
        if model.spec.version != job.options.version:
            raise Refusal(
                ErrorCode.UNKNOWN_MODEL,
                f"model {model.spec.name!r} has version {model.spec.version!r} by now, "
                f"expected {job.options.version!r} as when the job began",
            )
        return model

    async def _score(self, job: Job, model: Model, files: list[PendingFile]) -> None:
        options = job.options
        numbers = {file.name: file.number for file in files}
        with ExitStack() as stack:
            sources: list[tuple[str, BinaryIO]] = []
            for file in files:
                opened = await self._desk.open_file(job.id, file.number)
                sources.append((file.name, stack.enter_context(opened)))
            thresholds = {label: dict(rules) for label, rules in options.thresholds.items()}
            longest = self._service.settings.max_file_seconds or None
            scoring = self._service.jobs.job(
                model, sources, thresholds, options.sample_rate, longest
            )
            async with scoring as score_job:
                self._current, self._kept_seconds = (job.id, score_job), 0.0
                try:
                    if job.id in self._cancelled:
                        return
                    async for text in score_job.pieces(_encoded):
                        score = records.decode(text.encode())
                        await self._keep(job, numbers[score.file], score)
                        self._kept_seconds += score.seconds
                finally:
                    self._current = None

    async def _keep(self, job: Job, number: int, score: FileScore) -> None:
        self._service.authenticator.quota_of(job.owner).spend(score.seconds)
        await self._desk.scored(job.id, number, score)
        outcome = "ok" if score.error is None else score.error.code
        self._service.metrics.files.labels(score.model, outcome).inc()

    async def _fail(self, id: str, code: ErrorCode, message: str) -> None:
        log.warning("job %s failed: %s", id, message)
        await self._desk.finish(id, JobState.FAILED, (code.value, message))


def _encoded(scores: Iterator[FileScore]) -> Iterator[str]:
    for score in scores:
        yield records.encode(score).decode()
