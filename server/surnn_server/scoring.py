"""Scoring uploads off the event loop: few jobs at a time, few waiting, none that outlives its
client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from surnn import Model
from surnn.score import FileScore, ScoreProgress, score_files
from surnn.sources import Source
from surnn_server.codes import ErrorCode, Refusal

__all__ = ["Cancelled", "ScoreJob", "ScoreJobs"]

T = TypeVar("T")

_FILES_SIDE_BY_SIDE = 8
_END = object()


class Cancelled(Exception):
    """Nobody waits for the scores any more."""


class ScoreJob:
    """One request's files on their way through a model."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        model: Model,
        sources: Sequence[Source],
        thresholds: dict[str, dict[str, float]],
        sample_rate: int | None,
        max_seconds: float | None = None,
    ) -> None:
        self._pool = pool
        self._cancelled = threading.Event()
        self.progress: ScoreProgress | None = None
        """How far it has come, as of the newest block."""
        self._running: asyncio.Future[Any] | None = None
        self._scores = _closable(
            score_files(
                model,
                sources,
                batch=min(_FILES_SIDE_BY_SIDE, len(sources)),
                thresholds=thresholds,
                sample_rate=sample_rate,
                max_seconds=max_seconds,
                on_progress=self._check,
            )
        )

    def cancel(self) -> None:
        """Stop after the block that is computed now."""
        self._cancelled.set()

    async def stop(self) -> None:
        """Cancel, and wait until nothing reads the files any more."""
        self.cancel()
        if self._running is not None:
            await asyncio.wait({self._running})
            if not self._running.cancelled():
                self._running.exception()  # whoever waited for it has left
        await asyncio.to_thread(self._scores.close)

    async def first(self) -> FileScore:
        """The score of the only file."""
        return await self._call(lambda: next(self._scores))

    async def pieces(
        self, render: Callable[[Iterator[FileScore]], Iterator[str]]
    ) -> AsyncIterator[str]:
        """The text that `render` makes of the scores, as it grows."""
        pieces = render(self._scores)
        while isinstance(piece := await self._call(lambda: next(pieces, _END)), str):
            yield piece

    async def _call(self, function: Callable[[], T]) -> T:
        running = asyncio.get_running_loop().run_in_executor(self._pool, function)
        self._running = running
        # A thread cannot be interrupted: `stop` waits for it, even if nobody else does.
        return await asyncio.shield(running)

    def _check(self, progress: ScoreProgress) -> None:
        self.progress = progress
        if self._cancelled.is_set():
            raise Cancelled


class ScoreJobs:
    """The jobs of all requests.

    Args:
        running: computed at a time.
        waiting: more than these are refused.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(running, thread_name_prefix="surnn-score")
        self._turn = asyncio.Semaphore(running)
        self._limit = running + waiting
        self.admitted = 0
        """Requests that run or wait."""
        self._jobs: set[ScoreJob] = set()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place among those that run or wait. Raises `Refusal` when there is none."""
        if self.admitted >= self._limit:
            raise Refusal(
                ErrorCode.AT_CAPACITY,
                f"{self.admitted} scoring requests run or wait, expected fewer: try again later",
            )
        self.admitted += 1
        try:
            yield
        finally:
            self.admitted -= 1

    @asynccontextmanager
    async def job(
        self,
        model: Model,
        sources: Sequence[Source],
        thresholds: dict[str, dict[str, float]],
        sample_rate: int | None,
        max_seconds: float | None = None,
    ) -> AsyncIterator[ScoreJob]:
        """A job, once it is its turn. Raises `InvalidConfig`."""
        async with self._turn:
            job = ScoreJob(self._pool, model, sources, thresholds, sample_rate, max_seconds)
            self._jobs.add(job)
            try:
                yield job
            finally:
                self._jobs.discard(job)
                await job.stop()

    def stop(self) -> None:
        """Cancel what runs."""
        for job in self._jobs:
            job.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _closable(scores: Iterator[FileScore]) -> Generator[FileScore, None, None]:
    yield from scores
