"""What the routes share: models and their workers, admission, life and death of the server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from surnn import Model, installed, load
from surnn_server.auth import Authenticator
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.metrics import Metrics, ModelMetrics
from surnn_server.scoring import ScoreJobs
from surnn_server.settings import Settings
from surnn_server.worker import Worker

__all__ = ["Service", "ServiceState", "Stoppable", "load_models"]

log = logging.getLogger(__name__)


class ServiceState(StrEnum):
    """Life of the server."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


class Stoppable(Protocol):
    """A stream, as far as the service knows it."""

    def fail(self, code: ErrorCode, message: str) -> None:
        """End the stream with an error."""
        ...


class Service:
    """Everything that one app owns."""

    def __init__(self, settings: Settings, models: Mapping[str, Model] | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.authenticator = Authenticator(settings)
        self.state = ServiceState.STARTING
        self.models: dict[str, Model] = dict(models or {})
        self.workers: dict[str, Worker] = {}
        self.jobs = ScoreJobs(settings.score_jobs, settings.score_queue)
        self.connections: set[Stoppable] = set()
        """Every open connection; not all of them have a session."""
        self._given = models is not None
        self._sessions = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def sessions(self) -> int:
        """Sessions admitted and not gone."""
        return self._sessions

    @property
    def ready(self) -> bool:
        """May clients come?"""
        return self.state is ServiceState.READY and all(w.alive for w in self.workers.values())

    async def start(self) -> None:
        """Load the models, warm them up, start their workers."""
        if not self._given:
            self.models = await asyncio.to_thread(load_models, self.settings.models)
        for name, model in self.models.items():
            worker = Worker(
                model,
                capacity=self.settings.max_sessions,
                max_batch=self.settings.max_batch,
                max_frames=self.settings.max_frames,
                gather_s=self.settings.gather_ms / 1000.0,
                metrics=ModelMetrics(self.metrics, model.spec, self.settings.max_sessions),
            )
            await worker.start()
            self.workers[name] = worker
        self.state = ServiceState.READY
        if self.models:
            log.info("serving %s", ", ".join(sorted(self.models)))
        else:
            log.warning("no model to serve: none is installed, and none was named")

    async def drain(self) -> None:
        """Refuse new streams, end those that run, wait until they are gone or time is up."""
        if self.state is not ServiceState.READY:
            return
        self.state = ServiceState.DRAINING
        log.info("draining %d connections", len(self.connections))
        for connection in list(self.connections):
            connection.fail(ErrorCode.DRAINING, "the server is shutting down, expected to be back")
        try:
            async with asyncio.timeout(self.settings.drain_timeout_s):
                await self._empty.wait()
        except TimeoutError:
            log.warning("%d connections did not end in time", len(self.connections))

    async def stop(self) -> None:
        """Drain, then stop the workers."""
        await self.drain()
        for worker in self.workers.values():
            await worker.stop()
        await asyncio.to_thread(self.jobs.stop)
        self.state = ServiceState.STOPPED

    def find(self, name: str) -> Model:
        """The model of that name. Raises `Refusal`."""
        model = self.models.get(name)
        if model is None:
            raise Refusal(
                ErrorCode.UNKNOWN_MODEL, f"no model {name!r}, expected one of {sorted(self.models)}"
            )
        return model

    def check_accepting(self) -> None:
        """Raises `Refusal` when the server takes no new work."""
        if self.state is not ServiceState.READY:
            raise Refusal(ErrorCode.DRAINING, "the server is shutting down, try another or later")

    def admit(self, name: str) -> Worker:
        """A place for one more session; give it back with `leave`. Raises `Refusal`."""
        self.check_accepting()
        self.find(name)
        if self._sessions >= self.settings.max_sessions:
            raise Refusal(
                ErrorCode.AT_CAPACITY,
                f"all {self.settings.max_sessions} sessions are taken, try again later",
            )
        self._sessions += 1
        return self.workers[name]

    def leave(self) -> None:
        """A session that `admit` let in is gone."""
        self._sessions -= 1

    def connected(self, connection: Stoppable) -> None:
        """A connection was made."""
        self.connections.add(connection)
        self._empty.clear()

    def disconnected(self, connection: Stoppable) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()


def load_models(names: tuple[str, ...]) -> dict[str, Model]:
    """The models to serve, by the names that their specs give. Raises what `surnn.load` raises."""
    models: dict[str, Model] = {}
    for source in names or tuple(installed()):
        model = load(source)
        if model.spec.name in models:
            raise ValueError(f"two models are called {model.spec.name!r}, expected distinct names")
        models[model.spec.name] = model
    return models
