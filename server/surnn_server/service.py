"""What the routes share: models and their workers, admission, life and death of the server."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Coroutine, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from surnn import Model, SurnnError
from surnn_server.accounts import Accounts, LocalAccounts
from surnn_server.auth import Authenticator
from surnn_server.cluster.forwarding import Peers
from surnn_server.cluster.membership import Membership
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.lobby import Lobby
from surnn_server.metrics import Metrics, ModelMetrics, version_labels
from surnn_server.reloading import ModelFolder
from surnn_server.repository import load_models
from surnn_server.scheduling import LoadGate
from surnn_server.scoring import ScoreJobs
from surnn_server.settings import Settings
from surnn_server.tokens import TokenSealer, new_key
from surnn_server.tracing import make_tracer
from surnn_server.worker import Worker

__all__ = ["Service", "ServiceState", "Stoppable"]

_RETRY_AFTER_S = 5.0
_RETIRE_LOOK_S = 0.05

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

    def __init__(
        self,
        settings: Settings,
        models: Mapping[str, Model] | None = None,
        membership: Membership | None = None,
    ) -> None:
        self.settings = settings
        self.membership = membership
        self.peers = Peers(membership) if membership else None
        """The processes of this server, if it has several."""
        accounts: Accounts = membership.ledger if membership else LocalAccounts()
        self._all_sessions = accounts.account("server")
        self.metrics = Metrics()
        self.tracer = make_tracer(settings.traces)
        self.authenticator = Authenticator(settings, accounts=accounts)
        self.state = ServiceState.STARTING
        self.models: dict[str, Model] = dict(models or {})
        self.workers: dict[str, Worker] = {}
        self.sealer = TokenSealer(settings.state_keys or [new_key()], settings.state_ttl_s)
        self.jobs = ScoreJobs(settings.score_jobs, settings.score_queue)
        self.folder: ModelFolder | None = None
        """Where models come from while the server runs."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._retired: list[Worker] = []
        self.connections: set[Stoppable] = set()
        """Every open connection; not all of them have a session."""
        self.lobby = Lobby(settings.max_unstarted, self.metrics.unstarted.set)
        self.degraded: set[str] = set()
        """Models that lost their device and run on the CPU since."""
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
        settings = self.settings
        models, self.models = self.models, {}
        if not self._given and (settings.models or not settings.models_dir):
            models = await asyncio.to_thread(load_models, settings.models)
        for name, model in models.items():
            await self.use(model, name)
        if settings.models_dir:
            self.folder = ModelFolder(
                Path(settings.models_dir),
                settings.max_model_bytes,
                frozenset(models),
                self.use,
                self.metrics,
            )
            await self.folder.look()
            if settings.models_poll_s:
                self._spawn(self.folder.follow(settings.models_poll_s))
        self.state = ServiceState.READY
        if self.models:
            log.info("serving %s", ", ".join(sorted(self.models)))
        else:
            log.warning("no model to serve: none is installed, and none was named")
        if not self.settings.state_keys:
            log.info(
                "no state key is set: streams survive lost connections, but not a restart of this "
                "server; `surnn key` prints one for SURNN_STATE_KEYS"
            )

    async def use(self, model: Model, name: str | None = None) -> None:
        """Warm a model up, then serve it instead of the one that had its name."""
        settings, spec = self.settings, model.spec
        name = name or spec.name
        worker = Worker(
            model,
            capacity=settings.max_sessions,
            max_batch=settings.max_batch,
            max_frames=settings.max_frames,
            gather_s=settings.gather_ms / 1000.0,
            metrics=ModelMetrics(
                self.metrics, spec, settings.max_sessions, settings.late_after_ms / 1000.0
            ),
            sealer=self.sealer,
            tracer=self.tracer,
            gate=LoadGate(
                max_wait_s=settings.admission_wait_ms / 1000.0, max_share=settings.admission_share
            ),
            on_lost=lambda: self._spawn(self._move_to_host(model, name)),
        )
        await worker.start()
        old = self.workers.get(name)
        self.degraded.discard(name)
        self.models[name], self.workers[name] = model, worker
        self.metrics.slots.labels(spec.name).set_function(
            lambda: sum(
                w.sessions
                for w in (*self.workers.values(), *self._retired)
                if w.spec.name == spec.name
            )
        )
        gate = worker.gate
        self.metrics.load_share.labels(spec.name).set_function(lambda: gate.share)
        self.metrics.turn_wait.labels(spec.name).set_function(lambda: gate.wait_s)
        self.metrics.admitting.labels(spec.name).set_function(
            lambda: float(gate.look(time.perf_counter()))
        )
        self.metrics.version.labels(*version_labels(spec)).set(1)
        if old is not None:
            self._retired.append(old)
            self._spawn(self._retire(old))

    async def _move_to_host(self, model: Model, name: str) -> None:
        """Serve a model that lost its device on the CPU: the same weights, so the same tokens."""
        try:
            await self.use(await asyncio.to_thread(model.on_host), name)
        except SurnnError as error:
            # Readiness says that its worker is dead, from now on.
            log.error("%s cannot run on the CPU instead: %s", name, error)
        else:
            self.degraded.add(name)
            log.warning("%s lost its device and runs on the CPU", name)

    async def _retire(self, worker: Worker) -> None:
        """Stop an old version's worker once its last session is gone."""
        while worker.lines:  # noqa: ASYNC110
            # Sessions end on many paths, none of which knows about versions.
            await asyncio.sleep(_RETIRE_LOOK_S)
        await worker.stop()
        self._retired.remove(worker)
        spec = worker.spec
        labels = version_labels(spec)
        in_use = [self.workers[spec.name], *self._retired]
        if all(version_labels(w.spec) != labels for w in in_use):
            self.metrics.version.remove(*labels)
        log.info("%s version %s is no longer in use", spec.name, spec.version)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for worker in (*self.workers.values(), *self._retired):
            await worker.stop()
        await asyncio.to_thread(self.jobs.stop)
        if self.peers is not None:
            await self.peers.close()
        self.state = ServiceState.STOPPED

    def find(self, name: str) -> Model:
        """The model of that name. Raises `Refusal`."""
        model = self.models.get(name)
        if model is None:
            raise Refusal(
                ErrorCode.UNKNOWN_MODEL, f"no model {name!r}, expected one of {sorted(self.models)}"
            )
        return model

    @property
    def fingerprints(self) -> dict[str, str]:
        """Which weights each served model has."""
        return {name: worker.fingerprint for name, worker in self.workers.items()}

    def check_accepting(self) -> None:
        """Raises `Refusal` when the server takes no new work."""
        if self.state is not ServiceState.READY:
            raise Refusal(ErrorCode.DRAINING, "the server is shutting down, try another or later")

    def admit(self, name: str) -> Worker:
        """A place for one more session; give it back with `leave`. Raises `Refusal`."""
        self.check_accepting()
        self.find(name)
        worker = self.workers[name]
        if not worker.alive:
            raise Refusal(ErrorCode.INTERNAL, "the model's worker is dead, expected it at work")
        if not worker.gate.look(time.perf_counter()):
            raise Refusal(
                ErrorCode.AT_CAPACITY,
                f"streams wait {worker.gate.wait_s * 1000.0:.0f} ms for their turn, and "
                f"{worker.gate.share:.0%} of the time is spent computing, expected less: "
                "try again later",
                retry_after=_RETRY_AFTER_S,
            )
        with self._all_sessions.lock:
            if self._all_sessions.sessions >= self.settings.max_sessions:
                raise Refusal(
                    ErrorCode.AT_CAPACITY,
                    f"all {self.settings.max_sessions} sessions are taken, try again later",
                    retry_after=_RETRY_AFTER_S,
                )
            self._all_sessions.add_sessions(1)
        self._sessions += 1
        return worker

    def leave(self) -> None:
        """A session that `admit` let in is gone."""
        self._sessions -= 1
        with self._all_sessions.lock:
            self._all_sessions.add_sessions(-1)

    @property
    def all_sessions(self) -> int:
        """Sessions of all processes of this server."""
        return self._all_sessions.sessions

    def new_session_id(self) -> str:
        """For a new connection."""
        return self.membership.new_session_id() if self.membership else uuid.uuid4().hex

    def connected(self, connection: Stoppable) -> None:
        """A connection was made."""
        self.connections.add(connection)
        self._empty.clear()

    def disconnected(self, connection: Stoppable) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()
