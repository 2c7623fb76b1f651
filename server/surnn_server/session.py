"""One session on the event loop's side: from a client's `start` to its last result. No sockets."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from surnn import Encoding
from surnn.engine import StreamConfig
from surnn.snapshot import Snapshot
from surnn.spec import ModelKind, ModelSpec
from surnn_server import replies
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.lines import (
    Checkpointed,
    Computed,
    Data,
    Ended,
    EndOfStream,
    FlushAt,
    Flushed,
    Item,
    Line,
    MarkAt,
    Marked,
    Output,
)
from surnn_server.messages import Start
from surnn_server.replies import Reply
from surnn_server.reports import Reporter
from surnn_server.settings import Settings
from surnn_server.worker import Worker

__all__ = ["StreamSession"]

_LEAST_BUFFER = 4096
"""Bytes that may always wait: at low rates the limit in seconds can be less than a packet."""
_LEAST_INTERVAL_S = 0.1
"""Between checkpoints: each costs about as much as a result."""


class StreamSession:
    """Hands what a client sends to the worker, within limits, and keeps what comes back.

    Args:
        worker: computes the session's model.
        start: what the client asked for.
        settings: limits.
        notify: called after outputs arrived.
        snapshot: where the session goes on; None: it begins.
    """

    def __init__(
        self,
        worker: Worker,
        start: Start,
        settings: Settings,
        notify: Callable[[], None],
        snapshot: Snapshot | None = None,
    ) -> None:
        spec = worker.spec
        config = _config(spec, start, snapshot)
        sample_rate, channels = config.sample_rate or 0, config.channels or 0
        self.spec = spec
        self.config = config
        """Complete: rate and channels are those of the stream."""
        self.resumed = None if snapshot is None else snapshot.state
        """What the session went on from."""
        self.checkpoint_interval_s = _interval(start, settings)
        self.checkpoint: Checkpointed | None = None
        """The newest."""
        self.latency = worker.metrics.latency
        """Where to count the time from data to result."""
        self.outbox: deque[Output] = deque()
        """What the worker answered and the client was not told yet."""
        self._settings = settings
        self._notify = notify
        self._worker = worker
        self._reporter = Reporter(
            spec,
            sample_rate,
            start.report,
            start.report_interval_ms,
            events=self.resumed.events if self.resumed else 0,
            reported_frames=start.reported_frames,
        )
        self._line = Line(
            config,
            self._deliver,
            snapshot=snapshot,
            checkpoint_interval_s=self.checkpoint_interval_s,
        )
        self._waiters: list[asyncio.Future[Checkpointed]] = []
        bytes_per_second = sample_rate * channels * config.encoding.width
        self._frame_bytes = bytes_per_second / spec.frame_rate
        self._limit = min(
            max(_LEAST_BUFFER, settings.max_buffered_seconds * bytes_per_second),
            settings.max_buffered_bytes,
        )
        worker.open(self._line)

    def data(self, payload: bytes) -> None:
        """Samples arrived. Raises `Refusal` when too much waits already."""
        if not payload:
            return
        line = self._line
        waiting = line.waiting_bytes + line.waiting_frames * self._frame_bytes
        if waiting + len(payload) > self._limit:
            raise Refusal(
                ErrorCode.SENT_TOO_FAST,
                f"{int(waiting)} bytes wait and {len(payload)} more arrived, "
                f"expected at most {int(self._limit)} to wait",
            )
        line.accepted_bytes += len(payload)
        self._put(Data(memoryview(payload), time.perf_counter()))

    def marker(self, name: str) -> None:
        """The client wants to know when everything so far is done. Raises `Refusal`."""
        self._put(MarkAt(name))

    def flush(self) -> None:
        """The client wants what is being merged. Raises `Refusal`."""
        self._put(FlushAt())

    def end(self) -> None:
        """The stream is complete."""
        self._worker.put(self._line, EndOfStream(time.perf_counter()))

    def suspend(self) -> None:
        """Save the session and free its slot; `Suspended`, `Failed` or `Ended` comes last."""
        self._worker.suspend(self._line)

    async def save(self) -> Checkpointed:
        """A checkpoint of now, which the client is told too.

        Raises `Refusal` when the session ends before.
        """
        waiter: asyncio.Future[Checkpointed] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._worker.checkpoint(self._line)
        return await waiter

    def close(self) -> None:
        """Free the slot; nothing more arrives in the outbox."""
        self._worker.close(self._line)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(Refusal(ErrorCode.NOT_FOUND, "the session has just ended"))

    @property
    def seconds(self) -> float:
        """Length of the stream computed so far, about: another thread counts on."""
        session = self._line.session
        return 0.0 if session is None else session.seconds

    @property
    def position(self) -> int:
        """Samples taken in so far, about."""
        session = self._line.session
        return 0 if session is None else session.ingest.position

    def messages(self, output: Output, now: float) -> list[Reply]:
        """What to tell the client about an output."""
        match output:
            case Computed():
                return self._reporter.computed(output, now)
            case Marked():
                return [*self._reporter.flush(), replies.marker(output.id)]
            case Flushed():
                return self._reporter.flush()
            case Checkpointed():
                # What waits to be merged would be lost between this connection and the next.
                return [*self._reporter.flush(), replies.checkpoint(output)]
            case Ended():
                return self._reporter.ended(output, now)
            case _:
                return []

    def _put(self, item: Item) -> None:
        if len(self._line.inbox) >= self._settings.max_queued_messages:
            raise Refusal(
                ErrorCode.SENT_TOO_FAST,
                f"{len(self._line.inbox)} messages wait, "
                f"expected at most {self._settings.max_queued_messages}",
            )
        self._worker.put(self._line, item)

    def _deliver(self, outputs: Sequence[Output]) -> None:
        self.outbox.extend(outputs)
        for output in outputs:
            if isinstance(output, Checkpointed):
                self._saved(output)
        self._notify()

    def _saved(self, checkpoint: Checkpointed) -> None:
        self.checkpoint = checkpoint
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(checkpoint)


def _config(spec: ModelSpec, start: Start, snapshot: Snapshot | None) -> StreamConfig:
    if snapshot is not None:
        state = snapshot.state
        return StreamConfig(state.sample_rate, state.encoding, state.channels, state.thresholds)
    default = Encoding.PCM_S16LE if spec.kind is ModelKind.AUDIO else Encoding.F32LE
    return StreamConfig(
        sample_rate=start.sample_rate or spec.sample_rate,
        encoding=start.encoding or default,
        channels=start.channels or spec.channels,
        thresholds=start.thresholds,
    )


def _interval(start: Start, settings: Settings) -> float:
    wanted = start.checkpoint_interval_s
    if wanted is None:
        wanted = settings.checkpoint_interval_s
    return max(wanted, _LEAST_INTERVAL_S) if wanted else 0.0
