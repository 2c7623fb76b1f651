"""One thread that computes one model for all of its sessions.

The thread owns the engine and everything in it. The event loop only puts items into lines and
wakes the thread; results go back with one call to the loop for each batch.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum, auto

import numpy as np

from surnn import Model
from surnn.engine import Engine
from surnn.errors import DeviceLost
from surnn.snapshot import Snapshot
from surnn_server.codes import ErrorCode
from surnn_server.items import Item
from surnn_server.lines import Line
from surnn_server.metrics import ModelMetrics
from surnn_server.outputs import Failed
from surnn_server.rounds import Deliveries, Rounds
from surnn_server.scheduling import LoadGate, RunQueue
from surnn_server.tokens import TokenSealer
from surnn_server.tracing import NO_TRACES, Tracer
from surnn_server.turns import FAULT, Turns

__all__ = ["BUSY_GATHER", "Worker", "WorkerState"]

log = logging.getLogger(__name__)

BUSY_GATHER = 5.0
"""How many times as long sessions gather where all of the time is spent computing."""
_LOST = Failed(ErrorCode.INTERNAL, "the device was lost, go on from the last checkpoint")


class WorkerState(Enum):
    """Life of a worker thread."""

    STARTING = auto()
    RUNNING = auto()
    STOPPING = auto()
    STOPPED = auto()
    LOST = auto()
    """Its device is gone, and every state on it: sessions go on elsewhere, from a checkpoint."""


class Worker:
    """Computes the sessions of one model, earliest deadline first, in batches.

    Args:
        model: what to compute.
        capacity: sessions at the same time.
        max_batch: sessions in one runtime call.
        max_frames: frames of one session in one call; the rest waits for its next turn.
        metrics: where to count.
        sealer: makes tokens of sessions.
        gather_s: how long an idle worker lets sessions gather for its next call; up to
            `BUSY_GATHER` times as long between the calls of a busy one.
        gate: measures the load.
        tracer: where to tell of batches.
        on_lost: called by the event loop when the device is lost.
    """

    def __init__(
        self,
        model: Model,
        *,
        capacity: int,
        max_batch: int,
        max_frames: int,
        metrics: ModelMetrics,
        sealer: TokenSealer,
        gather_s: float = 0.0,
        gate: LoadGate | None = None,
        tracer: Tracer = NO_TRACES,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.spec = model.spec
        self.fingerprint = model.runtime.fingerprint
        self.state = WorkerState.STARTING
        self._turns = Turns(Engine(model.runtime, capacity), max_frames, sealer)
        self._rounds = Rounds(self._turns, self.spec.name, metrics, tracer)
        self._max_batch = max_batch
        self.metrics = metrics
        self._gather_s = gather_s
        self._began = 0.0
        """When the newest round began."""
        self._backlog = False
        """Did it leave work? Then the next one has enough to do."""
        self.gate = gate or LoadGate(max_wait_s=0.0)
        self._on_lost = on_lost
        self.lines: set[Line] = set()
        """Sessions opened and not closed, as the event loop sees it."""
        self._waited = 0.0
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        # Guarded by the lock: lines with something to do; lines to be closed; whether to notify.
        self._idle = False
        self._runnable: RunQueue[Line] = RunQueue()
        self._closing: list[Line] = []
        self._thread = threading.Thread(
            target=self._run, name=f"surnn-{self.spec.name}", daemon=True
        )

    # For the event loop.

    @property
    def alive(self) -> bool:
        """Is the thread at work?"""
        return self.state is WorkerState.RUNNING and self._thread.is_alive()

    @property
    def sessions(self) -> int:
        """Slots in use."""
        return len(self._turns.engine.pool)

    async def start(self) -> None:
        """Start the thread; returns once the model is warm. Raises what the warm-up raised."""
        self._loop = asyncio.get_running_loop()
        self._warm: asyncio.Future[None] = self._loop.create_future()
        self._thread.start()
        await self._warm

    async def stop(self) -> None:
        """Stop the thread after the batch that it computes now."""
        with self._wake:
            self.state = WorkerState.STOPPING
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)
        self.state = WorkerState.STOPPED

    def open(self, line: Line) -> None:
        """Start a session; `Opened` or `Failed` is its first output. Items may follow at once."""
        self.lines.add(line)
        self._enqueue(line)

    def put(self, line: Line, item: Item) -> None:
        """Hand over an item."""
        line.inbox.append(item)
        self._enqueue(line)

    def checkpoint(self, line: Line) -> None:
        """Save the session soon; `Checkpointed` is among its next outputs."""
        line.checkpoint_asked = True
        self._enqueue(line)

    def replace(self, line: Line, snapshot: Snapshot) -> None:
        """Let the session go on from another state soon, between two of its chunks.

        `Replaced` or `NotReplaced` is among its next outputs.
        """
        line.replacements.append(snapshot)
        self._enqueue(line)

    def suspend(self, line: Line) -> None:
        """Save the session soon and give it up; `Suspended` is then its last output.

        What waits in its inbox is dropped, what it has taken in is computed. A session whose end
        was taken in ends as usual; one that fails gives `Failed`.
        """
        line.suspending = True
        self._enqueue(line)

    def close(self, line: Line) -> None:
        """Forget the session: nothing is delivered from now on, its slot is free for the next."""
        self.lines.discard(line)
        line.hung_up = True
        with self._wake:
            self._closing.append(line)
            self._wake.notify()

    def _enqueue(self, line: Line) -> None:
        with self._lock:
            if not line.queued:
                line.queued = True
                self._runnable.push(line, line.priority, time.perf_counter())
                if self._idle or len(self._runnable) == self._max_batch:
                    self._idle = False
                    self._wake.notify()

    # The thread.

    def _run(self) -> None:
        try:
            self._warm_up()
        except Exception as error:  # noqa: BLE001  reported to whoever started the server
            self._call_loop(self._warm.set_exception, error)
            return
        self.state = WorkerState.RUNNING
        self._call_loop(self._warm.set_result, None)
        try:
            self._work()
        except BaseException:
            # Even now nobody may wait for ever: clients go on from their checkpoints elsewhere.
            log.critical("the worker of %s died", self.spec.name, exc_info=True)
            self._call_loop(self._give_up)

    def _give_up(self) -> None:
        """Tell every session that nothing more comes. On the event loop."""
        for line in list(self.lines):
            line.deliver([FAULT])

    def _work(self) -> None:
        while (lines := self._next_lines()) is not None:
            began = time.perf_counter()
            if self.state is WorkerState.LOST:
                self._lose(lines)
                continue
            try:
                self._round(lines)
                self.gate.round(began, time.perf_counter(), self._waited)
            except DeviceLost as error:
                log.error("%s of %s", error, self.spec.name)
                # Whoever stops the worker in this moment has the last word.
                if self.state is WorkerState.RUNNING:
                    self.state = WorkerState.LOST
                self._lose(lines)
                self._call_loop(self._on_lost)
            except Exception:
                # Whatever broke is not known to be confined to one session of this round.
                log.exception("round of %d sessions failed", len(lines))
                for line in lines:
                    self._turns.release(line)
                self._post([(line, [FAULT]) for line in lines])

    def _lose(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self._turns.release(line)
        self._post([(line, [_LOST]) for line in lines])

    def _warm_up(self) -> None:
        """Run some shapes, so that no client waits for first-time allocations."""
        runtime = self._turns.engine.runtime
        for batch in sorted({1, min(8, self._max_batch)}):
            pool = runtime.new_pool(batch)
            slots = [pool.acquire() for _ in range(batch)]
            for count in sorted({1, min(10, self._turns.max_frames), self._turns.max_frames}):
                frames = np.zeros((count, self.spec.frame_size), np.float32)
                runtime.run(pool, slots, [frames] * batch)

    def _next_lines(self) -> list[Line] | None:
        """Wait for work: the lines of the next round, or None to stop."""
        if self._wait_for_work():
            self._began = time.perf_counter()
        with self._wake:
            if self._gather_s and not self._backlog:
                self._gather()
            stopping = self.state is WorkerState.STOPPING
            closing, self._closing = self._closing, []
            lines, since = self._runnable.take(self._max_batch)
            self._began = time.perf_counter()
            self._waited = self._began - since if lines else 0.0
            for line in lines:
                line.queued = False
        for line in closing:
            self._turns.release(line)
        if stopping:
            return None
        return [line for line in lines if not line.hung_up]

    def _gather(self) -> None:
        """Let sessions gather, with the lock held: one call for ten costs little more than for one.

        From the moment that ended an idle time, or from the last round's beginning: sessions gather
        while it computes, too. The busier the worker, the more there is to gain, and the less a
        wait matters beside that for one's turn.
        """
        end = self._began + self._gather_s * (1.0 + (BUSY_GATHER - 1.0) * self.gate.share)
        while self.state is WorkerState.RUNNING and len(self._runnable) < self._max_batch:
            left = end - time.perf_counter()
            if left <= 0:
                break
            self._wake.wait(left)

    def _wait_for_work(self) -> bool:
        """Returns whether it had to wait."""
        idle = False
        with self._wake:
            while not (self._runnable or self._closing or self.state is WorkerState.STOPPING):
                idle = self._idle = True
                self._wake.wait()
            self._idle = False
        return idle

    def _round(self, lines: Sequence[Line]) -> None:
        """Take in what arrived, compute what is ready, answer."""
        for answers in self._rounds.answers(lines):
            self._post(answers)
        self._backlog = False
        with self._wake:
            for line in lines:
                if line.has_work and not line.queued:
                    line.queued = self._backlog = True
                    self._runnable.push(line, line.priority, time.perf_counter())
        self.metrics.slots.set(self.sessions)

    def _post(self, deliveries: Deliveries) -> None:
        if deliveries:
            self._call_loop(_deliver, deliveries)

    def _call_loop(self, function: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # The loop was closed before the server was stopped: nobody is left to be told.
            log.warning("results dropped: the event loop is closed")


def _deliver(deliveries: Deliveries) -> None:
    for line, outputs in deliveries:
        if not line.hung_up:
            line.deliver(outputs)
