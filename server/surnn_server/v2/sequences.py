"""Sequences: streams whose chunks come in requests of their own. No HTTP.

A sequence is a line to the same worker as a WebSocket session, so both share its batches. Requests
of one sequence may overlap: they are computed in the order of their arrival, and each gets the
results that its own samples completed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from surnn import ChunkResult, Event
from surnn.engine import StreamConfig
from surnn.snapshot import Snapshot
from surnn_server.auth import Principal
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.items import Data, EndOfStream, MarkAt
from surnn_server.lines import Line
from surnn_server.outputs import Computed, Ended, Failed, Marked, Output
from surnn_server.places import Place
from surnn_server.saved import Checkpointed
from surnn_server.service import Service
from surnn_server.v2.inputs import StreamFormat

__all__ = ["Exchange", "InferSequence"]

log = logging.getLogger(__name__)

_MAX_WAITING = 16
"""Requests of one sequence that may wait at a time."""


@dataclass
class Exchange:
    """One request and what it got."""

    size: int
    done: asyncio.Future[None]
    first_frame: int = 0
    results: list[ChunkResult] = field(default_factory=list)
    closing: tuple[Event, ...] = ()
    """End events for the spans that were open at the end of the sequence."""
    queue_ms: float = 0.0
    """Longest wait of one of its results."""
    saved: Checkpointed | None = None
    """The sequence as it stood after this request, if that was asked for."""


class InferSequence:
    """One stream of one model, fed by requests.

    Args:
        service: knows the limits.
        client: whose sequence it is.
        model: name of a served model.
        format: how its samples arrive.
        idle_timeout_s: silence after which it is over.
        over: called once, with a reason to tell those who come later.
        snapshot: where it goes on; None: it begins.

    Raises `Refusal` when the service or the client's quota takes no more sessions.
    """

    def __init__(
        self,
        service: Service,
        client: Principal,
        model: str,
        format: StreamFormat,
        idle_timeout_s: float,
        over: Callable[[InferSequence, str], None],
        snapshot: Snapshot | None = None,
    ) -> None:
        self.format = format
        self.ending = False
        """Its last request has come."""
        self._service = service
        self._quota = client.quota
        self._over = over
        self._idle_timeout_s = idle_timeout_s
        self._closed = False
        self._exchanges: deque[Exchange] = deque()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._started = self._loop.time()
        self._parting: Refusal | None = None
        """Why it ends once everything that waits was answered."""
        self._place = Place(service, client, model, snapshot)
        self._worker = self._place.worker
        self.spec = self._worker.spec
        state = snapshot.state if snapshot else None
        self.frames = max(0, state.frames - self.spec.lookahead) if state else 0
        """Frames that were answered."""
        self._line = Line(
            StreamConfig(
                sample_rate=format.sample_rate,
                encoding=format.encoding,
                channels=format.channels,
                thresholds=state.thresholds if state else {},
            ),
            self._deliver,
            snapshot=snapshot,
        )
        with self._place.taking():
            self._worker.open(self._line)
        service.connected(self)

    def send(self, samples: memoryview, *, end: bool, save: bool = False) -> Exchange:
        """Hand over a request's samples; its results are complete when `done` is.

        Raises `Refusal` when too much waits already, or the client has used up its audio; the
        sequence then goes on without them.
        """
        if self._parting is not None:
            raise self._parting
        waiting = sum(exchange.size for exchange in self._exchanges)
        limit = self._service.settings.max_buffered_bytes
        if len(self._exchanges) >= _MAX_WAITING or (waiting and waiting + len(samples) > limit):
            raise Refusal(
                ErrorCode.AT_CAPACITY,
                f"{len(self._exchanges)} requests of {waiting} bytes wait in this sequence, "
                f"expected at most {_MAX_WAITING} of {limit} bytes: wait for answers",
            )
        if samples:  # an end without any must always be possible
            self._quota.audio(self.format.seconds(len(samples)))
        if self._timer is not None:
            self._timer.cancel()
        exchange = Exchange(len(samples), self._loop.create_future())
        # Whoever waited may have left: nobody else looks at the error then.
        exchange.done.add_done_callback(lambda f: f.cancelled() or f.exception())
        self._exchanges.append(exchange)
        now = time.perf_counter()
        if samples:
            self._line.accepted_bytes += len(samples)
            self._worker.put(self._line, Data(samples, now))
        self.ending = end
        self._worker.put(self._line, EndOfStream(now) if end else MarkAt("", save))
        return exchange

    def check_duration(self) -> None:
        """Raises `Refusal`, and ends the sequence, when it has lasted too long."""
        limit = self._service.settings.max_session_s
        if limit and self._loop.time() - self._started > limit:
            message = f"the sequence lasted {limit:g} s, its limit"
            self.fail(ErrorCode.MAX_DURATION, message)
            raise Refusal(ErrorCode.MAX_DURATION, message)

    def fail(self, code: ErrorCode, message: str) -> None:
        """End the sequence; requests that wait get the error.

        When the server shuts down they are answered first, for as long as it can wait: their
        clients could not know otherwise whether their samples were taken.
        """
        if code is not ErrorCode.DRAINING or not self._exchanges:
            self.close(code.value, message)
        elif self._parting is None:
            self._parting = Refusal(code, message)
            limit = self._service.settings.close_timeout_s
            self._timer = self._loop.call_later(limit, self.close, code.value, message)

    def close(self, reason: str, message: str) -> None:
        """Free the slot. Calling it again is harmless."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._worker.close(self._line)
        self._place.leave(reason)
        self._service.disconnected(self)
        self._over(self, message)
        code = ErrorCode(reason) if reason in list(ErrorCode) else ErrorCode.INVALID_REQUEST
        for exchange in self._exchanges:
            if not exchange.done.done():
                exchange.done.set_exception(Refusal(code, message))
        self._exchanges.clear()

    def _deliver(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            match output:
                case Computed():
                    self._computed(output)
                case Marked():
                    exchange = self._exchanges.popleft()
                    exchange.saved = output.saved
                    self._answer(exchange)
                    if not self._exchanges:
                        self._rest()
                case Ended():
                    exchange = self._exchanges.popleft()
                    exchange.closing = output.events
                    self._answer(exchange)
                    self.close("end", "it has ended")
                case Failed():
                    self.close(output.code.value, output.message)
                case _:
                    pass

    def _computed(self, output: Computed) -> None:
        self._worker.metrics.latency.observe(time.perf_counter() - output.arrived)
        exchange = self._exchanges[0]
        exchange.results.append(output.result)
        exchange.queue_ms = max(exchange.queue_ms, output.queue_ms)

    def _answer(self, exchange: Exchange) -> None:
        exchange.first_frame = self.frames
        self.frames += sum(result.frames for result in exchange.results)
        if not exchange.done.done():
            exchange.done.set_result(None)

    def _rest(self) -> None:
        """Everything was answered."""
        if self._parting is not None:
            self.close(self._parting.code.value, self._parting.message)
        elif self._idle_timeout_s:
            self._timer = self._loop.call_later(self._idle_timeout_s, self._expire)

    def _expire(self) -> None:
        limit = self._idle_timeout_s
        log.info("sequence of model %s expired", self.spec.name)
        self.close(ErrorCode.IDLE_TIMEOUT.value, f"it expired: no request came for {limit:g} s")
