"""A stream inside this process that says the same as a server would."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from surnn_client import (
    Chunk,
    Cost,
    EventMessage,
    LabelProbs,
    Limits,
    Message,
    ModelInfo,
    Ready,
    Sparsity,
    Summary,
    Warning_,
)
from surnn_client.wire import PROTOCOL_VERSION

if TYPE_CHECKING:
    import surnn

__all__ = ["EmbeddedStream"]


class EmbeddedStream:
    """One stream of a model in this process."""

    def __init__(
        self,
        model: surnn.Model,
        *,
        sample_rate: int | None,
        encoding: str | None,
        channels: int | None,
    ) -> None:
        from surnn import Encoding
        from surnn.spec import ModelKind

        spec = self._spec = model.spec
        default = Encoding.F32LE if spec.kind is ModelKind.SENSOR else Encoding.PCM_S16LE
        self._stream = model.stream(
            sample_rate=sample_rate, encoding=encoding or default, channels=channels
        )
        self._rate = sample_rate or spec.sample_rate
        self._sample_bytes = Encoding(encoding or default).width * (channels or spec.channels)
        self._seq = 0
        self._events = 0
        self._compute_ms = 0.0
        self._open_rate = (0.0,) * len(spec.layers)
        self.ready = Ready(
            seq=self._next(),
            protocol=PROTOCOL_VERSION,
            session="embedded",
            model=ModelInfo(
                name=spec.name,
                version=spec.version,
                labels=spec.labels,
                sample_rate=spec.sample_rate,
                hop=spec.hop,
                layers=tuple(layer.hidden for layer in spec.layers),
            ),
            limits=Limits(0, 0.0, 0.0, 0.0),
        )

    def run(self, chunks: Iterable[bytes]) -> Iterator[Message]:
        """Feed all chunks, end the stream, and give messages as they come, `Summary` last."""
        received = 0
        with self._stream as stream:
            for data in chunks:
                received += len(data)
                began = time.perf_counter()
                for result in stream.feed(data):
                    yield from self._result(result, began)
            began = time.perf_counter()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                results, events = stream.finish()
            for warning in caught:
                yield Warning_(self._next(), "split_sample", str(warning.message))
            for result in results:
                yield from self._result(result, began)
            for event in events:
                yield self._event(event, began)
            yield self._summary(received // self._sample_bytes)

    def _result(self, result: surnn.ChunkResult, began: float) -> Iterator[Message]:
        self._compute_ms += result.compute_ms
        self._open_rate = result.sparsity.open_rate
        means, peaks = result.probs.mean(axis=0), result.probs.max(axis=0)
        yield Chunk(
            seq=self._next(),
            start=result.start,
            end=result.end,
            first_sample=round(result.start * self._rate),
            end_sample=round(result.end * self._rate),
            frames=result.frames,
            probs={
                label: LabelProbs(mean=float(means[i]), max=float(peaks[i]))
                for i, label in enumerate(self._spec.labels)
            },
            sparsity=_sparsity(result.sparsity),
            cost=Cost(result.compute_ms, result.realtime_factor, queue_ms=0.0, batch=1),
        )
        for event in result.events:
            yield self._event(event, began)

    def _event(self, event: surnn.Event, began: float) -> EventMessage:
        self._events += 1
        return EventMessage(
            seq=self._next(),
            label=event.label,
            kind=event.kind.value,
            time=event.time,
            score=event.score,
            sample=round(event.time * self._rate),
            open_rate=self._open_rate,
            latency_ms=(time.perf_counter() - began) * 1000.0,
            number=self._events,
        )

    def _summary(self, samples: int) -> Summary:
        seconds = samples / self._rate
        frames = round(self._stream.seconds * self._spec.frame_rate)
        return Summary(
            seq=self._next(),
            reason="end",
            seconds=seconds,
            samples=samples,
            frames=frames,
            events=self._events,
            sparsity=_sparsity(self._stream.sparsity),
            cost=Cost(self._compute_ms, seconds / max(self._compute_ms / 1000.0, 1e-9)),
        )

    def _next(self) -> int:
        self._seq += 1
        return self._seq - 1


def _sparsity(found: surnn.Sparsity) -> Sparsity:
    return Sparsity(found.open_rate, found.updates, found.skipped, found.possible)
