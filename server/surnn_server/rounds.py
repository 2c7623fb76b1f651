"""What the worker's thread does in one round, for many sessions. No threads, no locks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from surnn import ChunkResult
from surnn_server.batching import compute, group_by_frames
from surnn_server.lines import Line
from surnn_server.metrics import ModelMetrics
from surnn_server.outputs import Output
from surnn_server.tracing import Tracer
from surnn_server.turns import Turns

__all__ = ["Deliveries", "Rounds"]

Deliveries = list[tuple[Line, list[Output]]]


class Rounds:
    """Computes sessions in batches.

    Args:
        turns: what is done for one session.
        name: of the model.
        metrics: where to count.
        tracer: where to tell of batches.
    """

    def __init__(self, turns: Turns, name: str, metrics: ModelMetrics, tracer: Tracer) -> None:
        self._turns = turns
        self._name = name
        self._metrics = metrics
        self._tracer = tracer

    def answers(self, lines: Sequence[Line]) -> Iterator[Deliveries]:
        """Take in what arrived, compute what is ready; answers as soon as there are some."""
        taken_in: Deliveries = []
        ready: list[tuple[Line, int]] = []
        for line in lines:
            outputs: list[Output] = []
            self._turns.advance(line, outputs, take_data=True)
            if outputs:
                taken_in.append((line, outputs))
            session = line.session
            if session is not None and (frames := session.ready):
                ready.append((line, min(frames, self._turns.max_frames)))
        yield taken_in
        for group in group_by_frames(ready):
            yield self._compute(group)
        # Last: nobody's results wait for somebody's token.
        yield self._save(lines)

    def _save(self, lines: Sequence[Line]) -> Deliveries:
        lines = [line for line in lines if line.saving or line.suspending]
        if not lines:
            return []
        before = self._turns.checkpoints.taken
        deliveries: Deliveries = []
        for line in lines:
            outputs: list[Output] = []
            self._turns.save(line, outputs)
            if outputs:
                deliveries.append((line, outputs))
        self._metrics.checkpoints.inc(self._turns.checkpoints.taken - before)
        return deliveries

    def _compute(self, group: Sequence[Line]) -> Deliveries:
        sessions = [line.session for line in group if line.session is not None]
        span = self._tracer.start_span(
            "surnn.batch", attributes={"surnn.model": self._name, "surnn.batch": len(group)}
        )
        began = time.perf_counter()
        results = compute(self._turns.engine, sessions, self._turns.max_frames)
        self._metrics.batch(len(group), time.perf_counter() - began)
        span.end()
        deliveries: Deliveries = []
        done: list[ChunkResult] = []
        waits: list[float] = []
        for line, result in zip(group, results, strict=True):
            outputs: list[Output] = []
            if isinstance(result, ChunkResult):
                done.append(result)
                waits.append(self._turns.computed(line, outputs, result, began, len(group)))
            else:
                self._turns.fail(line, outputs, result)
            deliveries.append((line, outputs))
        self._metrics.computed(done, waits)
        return deliveries
