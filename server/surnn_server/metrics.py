"""What Prometheus is told. Every app has its own registry, so that apps can live side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import mul

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from surnn import ChunkResult, ModelSpec
from surnn_server.codes import ErrorCode
from surnn_server.histograms import BatchHistogram, Distribution

__all__ = ["Latency", "Metrics", "ModelMetrics", "version_labels"]

_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_RATES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0)


class Metrics:
    """All metrics of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.processes = Gauge("surnn_processes", "Processes that serve", registry=r)
        self.processes.set(1)
        self.start_time = Gauge(
            "surnn_start_time_seconds", "Unix time when it began to serve", registry=r
        )
        self.start_time.set_to_current_time()
        self.active = Gauge("surnn_sessions_active", "Streams now", ["model"], registry=r)
        self.started = Counter("surnn_sessions_started", "Streams", ["model"], registry=r)
        self.resumed = Counter(
            "surnn_sessions_resumed", "Streams that went on from a token", ["model"], registry=r
        )
        self.checkpoints = Counter("surnn_checkpoints", "Sessions saved", ["model"], registry=r)
        self.ended = Counter(
            "surnn_sessions_ended", "Streams that ended", ["model", "reason"], registry=r
        )
        self.unstarted = Gauge(
            "surnn_connections_unstarted", "Connections that have not sent start", registry=r
        )
        self.rejected = Counter(
            "surnn_sessions_rejected", "Streams that were refused", ["code"], registry=r
        )
        self.errors = Counter("surnn_errors", "Errors sent to clients", ["code"], registry=r)
        self.latency = BatchHistogram(
            "surnn_latency_seconds",
            "Arrival of data to the sending of its result",
            ["model"],
            buckets=_SECONDS,
            registry=r,
        )
        self.slots = Gauge("surnn_slots_used", "State slots in use", ["model"], registry=r)
        self.capacity = Gauge("surnn_slots", "State slots", ["model"], registry=r)
        self.batch = BatchHistogram(
            "surnn_batch_size", "Streams in a call", ["model"], buckets=_BATCH, registry=r
        )
        self.step = BatchHistogram(
            "surnn_step_seconds", "Time of a call", ["model"], buckets=_SECONDS, registry=r
        )
        self.queue = BatchHistogram(
            "surnn_queue_seconds",
            "Arrival of data to its call",
            ["model"],
            buckets=_SECONDS,
            registry=r,
        )
        self.frames = Counter("surnn_frames", "Frames computed", ["model"], registry=r)
        self.updates = Counter(
            "surnn_updates_done", "Neuron updates computed", ["model"], registry=r
        )
        self.skipped = Counter(
            "surnn_updates_skipped",
            "Neuron updates that closed switches saved",
            ["model"],
            registry=r,
        )
        self.state_bytes = Counter(
            "surnn_state_bytes",
            "Hidden state behind open switches, and behind closed ones, which stays as it is",
            ["model", "switch"],
            registry=r,
        )
        self.open_rate = BatchHistogram(
            "surnn_open_rate",
            "Share of open switches in a result",
            ["model", "layer"],
            buckets=_RATES,
            registry=r,
        )
        self.late = Counter(
            "surnn_results_late", "Results that came too late", ["model"], registry=r
        )
        self.dropped = Counter(
            "surnn_dropped_seconds", "Stream time dropped unheard", ["model"], registry=r
        )
        self.load_share = Gauge(
            "surnn_load_share", "Share of time spent computing", ["model"], registry=r
        )
        self.turn_wait = Gauge(
            "surnn_turn_wait_seconds", "Wait of streams for their turn", ["model"], registry=r
        )
        self.admitting = Gauge(
            "surnn_admitting", "1: new streams may come, 0: too much load", ["model"], registry=r
        )
        self.version = Gauge(
            "surnn_model_info",
            "1 for each version in use, with the cells of its layers",
            ["model", "version", "cells"],
            registry=r,
        )
        self.reloads = Counter(
            "surnn_model_loads", "Models taken from the models folder", ["outcome"], registry=r
        )
        self.files = Counter(
            "surnn_files_scored", "Files scored over REST", ["model", "outcome"], registry=r
        )
        self.jobs = Gauge("surnn_jobs_waiting", "Jobs that wait or run", registry=r)
        self.jobs_ended = Counter(
            "surnn_jobs_ended", "Jobs that ended", ["model", "outcome"], registry=r
        )
        self.inferred = Counter(
            "surnn_infer_requests", "Requests to /v2", ["model", "outcome"], registry=r
        )
        self.infer_seconds = Histogram(
            "surnn_infer_seconds",
            "Time of a request to /v2",
            ["model"],
            buckets=_SECONDS,
            registry=r,
        )

    def render(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self.registry)

    def error(self, code: ErrorCode) -> None:
        """An error was sent to a client."""
        self.errors.labels(code.value).inc()

    def infer(self, model: str, outcome: str, seconds: float) -> None:
        """A request to /v2 was answered or refused."""
        self.inferred.labels(model, outcome).inc()
        self.infer_seconds.labels(model).observe(seconds)


class Latency:
    """From data to result; what takes too long is counted."""

    def __init__(self, seconds: Distribution, late: Counter, late_after_s: float) -> None:
        self._seconds = seconds
        self._late = late
        self._late_after_s = late_after_s

    def observe(self, seconds: float) -> None:
        """A result was sent."""
        self._seconds.note(seconds)
        if seconds > self._late_after_s:
            self._late.inc()


def version_labels(spec: ModelSpec) -> tuple[str, str, str]:
    """The labels of `Metrics.version`."""
    return spec.name, spec.version, ",".join(layer.cell.value for layer in spec.layers)


class ModelMetrics:
    """The metrics of one model: its labels are looked up once, not for every result."""

    def __init__(
        self, metrics: Metrics, spec: ModelSpec, capacity: int, late_after_s: float = 0.25
    ) -> None:
        name = spec.name
        metrics.capacity.labels(name).set(capacity)
        self.slots = metrics.slots.labels(name)
        self.latency = Latency(
            metrics.latency.labels(name), metrics.late.labels(name), late_after_s
        )
        self.dropped = metrics.dropped.labels(name)
        self.checkpoints = metrics.checkpoints.labels(name)
        self._batch = metrics.batch.labels(name)
        self._step = metrics.step.labels(name)
        self._queue = metrics.queue.labels(name)
        self._frames = metrics.frames.labels(name)
        self._updates = metrics.updates.labels(name)
        self._skipped = metrics.skipped.labels(name)
        self._hidden = [layer.hidden for layer in spec.layers]
        self._neuron_bytes = spec.neuron_bytes
        self._dense_bytes = sum(map(mul, self._hidden, self._neuron_bytes))
        self._written = metrics.state_bytes.labels(name, "open")
        self._left = metrics.state_bytes.labels(name, "closed")
        self._open_rate = [
            metrics.open_rate.labels(name, str(layer)) for layer in range(len(spec.layers))
        ]

    def batch(self, sessions: int, seconds: float) -> None:
        """A runtime call was made."""
        self._batch.observe((sessions,))
        self._step.observe((seconds,))

    def computed(self, results: Sequence[ChunkResult], queue_s: Iterable[float]) -> None:
        """Sessions got results; their data had waited so long."""
        if not results:
            return
        self._queue.observe(queue_s)
        counts = [result.computed for result in results]
        computed, updates, written = sum(counts), 0, 0
        by_layer = zip(*[result.updates for result in results], strict=True)
        for layer, done in enumerate(by_layer):
            total, hidden = sum(done), self._hidden[layer]
            updates += total
            written += total * self._neuron_bytes[layer]
            self._open_rate[layer].observe(
                [n / (hidden * frames) if frames else 0.0 for n, frames in zip(done, counts)]  # noqa: B905
            )
        self._frames.inc(sum([len(result.probs) for result in results]))
        self._updates.inc(updates)
        self._skipped.inc(computed * sum(self._hidden) - updates)
        self._written.inc(written)
        self._left.inc(computed * self._dense_bytes - written)
