"""One session on the event loop's side: from a client's `start` to its last result. No sockets."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from surnn.snapshot import Snapshot
from surnn_server import replies
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.items import Data, EndOfStream, FlushAt, Item, MarkAt
from surnn_server.lines import Line
from surnn_server.messages import Overflow, Start
from surnn_server.opening import checkpoint_interval, stream_config
from surnn_server.outputs import Computed, Ended, Flushed, Marked, Notice, Opened, Output, Skipped
from surnn_server.pending import Pending
from surnn_server.replies import Reply, warning
from surnn_server.reports import Reporter
from surnn_server.saved import Checkpointed, NotReplaced, Replaced
from surnn_server.settings import Settings
from surnn_server.worker import Worker

__all__ = ["StreamSession"]

_LEAST_BUFFER = 4096
"""Bytes that may always wait: at low rates the limit in seconds can be less than a packet."""
_HIGH_WATER, _LOW_WATER = 0.75, 0.5
"""Shares of the limit: above the first the client is warned, below the second all is well."""


class StreamSession:
    """Hands what a client sends to the worker, within limits, and keeps what comes back.

    Args:
        worker: computes the session's model.
        start: what the client asked for.
        settings: limits.
        notify: called after outputs arrived.
        id: names the session in logs.
        snapshot: where the session goes on; None: it begins.
    """

    def __init__(
        self,
        worker: Worker,
        start: Start,
        settings: Settings,
        notify: Callable[[], None],
        id: str = "",
        snapshot: Snapshot | None = None,
    ) -> None:
        spec = worker.spec
        config = stream_config(spec, start, snapshot)
        sample_rate, channels = config.sample_rate or 0, config.channels or 0
        self.spec = spec
        self.config = config
        """Complete: rate and channels are those of the stream."""
        self.resumed = None if snapshot is None else snapshot.state
        """What the session went on from."""
        self.checkpoint_interval_s = checkpoint_interval(start, settings)
        self.latency = worker.metrics.latency
        """Where to count the time from data to result."""
        self.outbox: deque[Output] = deque()
        """What the worker answered and the client was not told yet."""
        self._settings = settings
        self._overflow = start.overflow
        self._rate = sample_rate
        self._dropped = worker.metrics.dropped
        self._blocking = self._warned = self._opened = False
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
            start.priority,
            id,
            snapshot=snapshot,
            checkpoint_interval_s=self.checkpoint_interval_s,
        )
        self._pending = Pending()
        bytes_per_second = sample_rate * channels * config.encoding.width
        self._bytes_per_second = bytes_per_second
        self._frame_bytes = bytes_per_second / spec.frame_rate
        self._limit = min(
            max(_LEAST_BUFFER, settings.max_buffered_seconds * bytes_per_second),
            settings.max_buffered_bytes,
        )
        worker.open(self._line)

    def seconds(self, payload: bytes) -> float:
        """Stream time that the samples cover."""
        return len(payload) / self._bytes_per_second

    @property
    def waiting(self) -> float:
        """Bytes that were not computed yet."""
        return self._line.waiting(self._frame_bytes)

    @property
    def blocked(self) -> bool:
        """Should nothing more be read from the client now?"""
        if self._overflow is not Overflow.BLOCK:
            return False
        few = self._settings.max_queued_messages // 2
        # Once blocked, wait for some room: a client that crawls along the limit helps nobody.
        share = _LOW_WATER if self._blocking else 1.0
        full = self.waiting > self._limit * share or len(self._line.inbox) > few
        self._blocking = full and not self._line.hung_up
        return self._blocking

    def data(self, payload: bytes) -> None:
        """Samples arrived. Raises `Refusal` when too much waits already."""
        if not payload:
            return
        line = self._line
        waiting = self.waiting
        excess = waiting + len(payload) - self._limit
        if self._overflow is Overflow.DROP_OLDEST:
            if len(line.inbox) >= self._settings.max_queued_messages // 2:
                excess = max(excess, 1.0)
            if excess > 0:
                dropped = line.drop_oldest(math.ceil(excess))
                self._dropped.inc(dropped / self._bytes_per_second)
        elif excess > 0 and self._overflow is Overflow.ERROR:
            raise Refusal(
                ErrorCode.SENT_TOO_FAST,
                f"{int(waiting)} bytes wait and {len(payload)} more arrived, "
                f"expected at most {int(self._limit)} to wait",
            )
        self._warn(waiting + len(payload))
        line.accepted_bytes += len(payload)
        self._put(Data(payload, time.perf_counter()))

    def ready(self, id: str) -> Reply:
        """The first message, once the session has a slot."""
        return replies.ready(
            id,
            self.spec,
            self.config,
            self._settings,
            checkpoint_interval_s=self.checkpoint_interval_s,
            resumed=self.resumed,
        )

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
        waiter = self._pending.saving()
        self._worker.checkpoint(self._line)
        return await waiter

    async def replace(self, snapshot: Snapshot) -> Checkpointed:
        """Go on from another state of this model and format, which the client is told.

        Raises `Refusal` when it does not fit, or the session ends before.
        """
        waiter = self._pending.replacing()
        self._worker.replace(self._line, snapshot)
        return await waiter

    def close(self) -> None:
        """Free the slot; nothing more arrives in the outbox."""
        self._worker.close(self._line)
        self._pending.close()

    @property
    def fingerprint(self) -> str:
        """Of the weights that compute it."""
        return self._worker.fingerprint

    @property
    def length(self) -> float:
        """Seconds of the stream computed so far, about: another thread counts on."""
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
            case Skipped():
                return [*self._reporter.flush(), replies.dropped(output, self._rate)]
            case Notice():
                return [warning(output.code, output.message)]
            case Marked():
                return [*self._reporter.flush(), replies.marker(output.id)]
            case Flushed():
                return self._reporter.flush()
            case Checkpointed():
                # What waits to be merged would be lost between this connection and the next.
                return [*self._reporter.flush(), replies.checkpoint(output)]
            case Replaced():
                moved = self._reporter.moved(output.checkpoint.events)
                return [*moved, *replies.replaced(output)]
            case Ended():
                return self._reporter.ended(output, now)
            case _:
                return []

    def _warn(self, waiting: float) -> None:
        """Tell the client once when it comes near its limit."""
        if waiting < self._limit * _LOW_WATER:
            self._warned = False
        elif waiting > self._limit * _HIGH_WATER and self._opened and not self._warned:
            self._warned = True
            self._deliver(
                [
                    Notice(
                        "falling_behind",
                        f"{int(waiting)} bytes wait, expected at most {int(self._limit)}; "
                        f"beyond that: {self._overflow.value}",
                    )
                ]
            )

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
            if isinstance(output, Computed):
                continue  # as nearly always
            if isinstance(output, Opened):
                self._opened = True
            elif isinstance(output, Checkpointed):
                self._pending.saved(output)
            elif isinstance(output, Replaced | NotReplaced):
                self._pending.replaced(output)
        self._notify()
