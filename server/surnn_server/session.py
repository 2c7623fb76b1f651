"""One session on the event loop's side: from a client's `start` to its last result. No sockets."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from surnn import Encoding
from surnn.engine import StreamConfig
from surnn.spec import ModelKind, ModelSpec
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.lines import (
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
from surnn_server.replies import Reply, marker
from surnn_server.reports import Reporter
from surnn_server.settings import Settings
from surnn_server.worker import Worker

__all__ = ["StreamSession"]

_LEAST_BUFFER = 4096
"""Bytes that may always wait: at low rates the limit in seconds can be less than a packet."""


class StreamSession:
    """Hands what a client sends to the worker, within limits, and keeps what comes back.

    Args:
        worker: computes the session's model.
        start: what the client asked for.
        settings: limits.
        notify: called after outputs arrived.
    """

    def __init__(
        self, worker: Worker, start: Start, settings: Settings, notify: Callable[[], None]
    ) -> None:
        spec = worker.spec
        encoding = start.encoding or _default_encoding(spec)
        sample_rate = start.sample_rate or spec.sample_rate
        channels = start.channels or spec.channels
        self.spec = spec
        self.latency = worker.metrics.latency
        """Where to count the time from data to result."""
        self.outbox: deque[Output] = deque()
        """What the worker answered and the client was not told yet."""
        self._settings = settings
        self._notify = notify
        self._worker = worker
        self._reporter = Reporter(spec, sample_rate, start.report, start.report_interval_ms)
        self._line = Line(
            StreamConfig(
                sample_rate=sample_rate,
                encoding=encoding,
                channels=channels,
                thresholds=start.thresholds,
            ),
            self._deliver,
        )
        bytes_per_second = sample_rate * channels * encoding.width
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

    def close(self) -> None:
        """Free the slot; nothing more arrives in the outbox."""
        self._worker.close(self._line)

    def messages(self, output: Output, now: float) -> list[Reply]:
        """What to tell the client about an output."""
        match output:
            case Computed():
                return self._reporter.computed(output, now)
            case Marked():
                return [*self._reporter.flush(), marker(output.id)]
            case Flushed():
                return self._reporter.flush()
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
        self._notify()


def _default_encoding(spec: ModelSpec) -> Encoding:
    return Encoding.PCM_S16LE if spec.kind is ModelKind.AUDIO else Encoding.F32LE
