"""From results to messages: what a client asked to be told, merged as it asked. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from surnn import ChunkResult, Event, ModelSpec
from surnn.types import open_rates
from surnn_server import replies
from surnn_server.messages import Report
from surnn_server.outputs import Computed, Ended
from surnn_server.replies import Reply

__all__ = ["Reporter", "tail"]


class Reporter:
    """Turns the results of one session into messages.

    Events leave at once; `chunk` messages wait until they cover the interval.

    Args:
        spec: the session's model.
        sample_rate: of the client's stream.
        report: how much is told.
        interval_ms: least stream time of a chunk.
        events: of the stream before this connection.
        reported_frames: the first frame that no chunk of the client's has covered.
    """

    def __init__(
        self,
        spec: ModelSpec,
        sample_rate: int,
        report: Report = Report.CHUNK,
        interval_ms: float = 0.0,
        *,
        events: int = 0,
        reported_frames: int = 0,
    ) -> None:
        self._spec = spec
        self._rate = sample_rate
        self._report = report
        # A model's spec works these out anew whenever it is asked.
        self._labels, self._neurons = spec.labels, spec.neurons
        self._hop, self._model_rate = spec.hop, spec.sample_rate
        self._least_frames = max(1, math.ceil(interval_ms / 1000 * spec.frame_rate - 1e-9))
        self._merged: list[Computed] = []
        self._merged_frames = 0
        self._open_rate: Sequence[float] = [0.0] * len(spec.layers)
        self._compute_ms = 0.0
        self._reported_frames = reported_frames
        self.events = events
        """Events of the stream reported so far: what numbers them."""

    def computed(self, item: Computed, now: float) -> list[Reply]:
        """Frames were computed: their events, and a chunk when it is due."""
        result = item.result
        self._compute_ms += result.compute_ms
        self._open_rate = _rates(result)
        messages = [self._event(event, item.arrived, now) for event in result.events]
        if self._report is not Report.EVENTS and (fresh := self._fresh(item)):
            frames = len(fresh.result.probs)
            self._merged_frames += frames
            if frames >= self._least_frames and not self._merged:  # as most of the time
                self._merged_frames = 0
                messages.append(self._chunk([fresh], self._open_rate if fresh is item else None))
            elif self._merged_frames >= self._least_frames:
                self._merged.append(fresh)
                messages += self.flush()
            else:
                self._merged.append(replace(fresh, result=owned(fresh.result)))
        return messages

    def flush(self) -> list[Reply]:
        """The chunk that is being merged, whatever it covers."""
        if not self._merged_frames:
            return []  # nothing yet, or only frames that wait for the model's lookahead
        items, self._merged, self._merged_frames = self._merged, [], 0
        return [self._chunk(items)]

    def moved(self, events: int) -> list[Reply]:
        """The session stands elsewhere, after so many events: the chunk that was being merged."""
        messages = self.flush()
        self.events, self._reported_frames = events, 0
        return messages

    def ended(self, item: Ended, now: float) -> list[Reply]:
        """The stream is complete: what is left of it, and the summary."""
        messages = self.flush()
        messages += [self._event(event, item.arrived, now) for event in item.events]
        if item.dropped:
            messages.append(
                replies.warning(
                    "split_sample",
                    f"stream ended inside a sample: {item.dropped} bytes dropped, "
                    "expected whole samples",
                )
            )
        seconds = item.position / self._rate
        messages.append(
            {
                "type": "summary",
                "seq": 0,
                "reason": "end",
                "seconds": round(seconds, 6),
                "samples": item.position,
                "frames": item.frames,
                "events": self.events,
                "sparsity": replies.total_sparsity(item.sparsity),
                "cost": {
                    "compute_ms": round(self._compute_ms, 4),
                    "realtime_factor": _realtime_factor(seconds, self._compute_ms),
                },
            }
        )
        return messages

    def _fresh(self, item: Computed) -> Computed | None:
        """The part of a result that the client has no chunk of yet."""
        result = item.result
        known = self._reported_frames - result.first_frame
        if known <= 0:
            return item
        if known >= len(result.probs):
            return None
        return replace(item, result=tail(result, known, self._spec))

    def _event(self, event: Event, arrived: float, now: float) -> Reply:
        self.events += 1
        return replies.event(
            event,
            number=self.events,
            sample=round(event.time * self._rate),
            open_rate=self._open_rate,
            latency_ms=(now - arrived) * 1000.0,
        )

    def _chunk(self, items: list[Computed], rates: Sequence[float] | None = None) -> Reply:
        """A chunk of these; `rates` are its open rates, where they are known."""
        newest = items[-1]
        result, queue_ms, batch = newest.result, newest.queue_ms, newest.batch
        if len(items) == 1:
            rates = _rates(result) if rates is None else rates
        else:
            result = joined([item.result for item in items])
            rates = result.open_rates.mean(axis=0, dtype=np.float64).tolist()
            queue_ms = max([item.queue_ms for item in items])
            batch = max([item.batch for item in items])
        frames, first, labels = len(result.probs), result.first_frame, self._labels
        compute_ms = result.compute_ms
        sparsity = replies.sparsity(rates, sum(result.updates), self._neurons * result.computed)
        if self._report is Report.FRAME:
            columns = np.ascontiguousarray(result.probs.T)
            by_label: Reply = dict(zip(labels, columns, strict=True))
            sparsity["frames"] = list(np.ascontiguousarray(result.open_rates.T))
        else:
            means, peaks = result.summary or (result.mean_probs, result.peak_probs)
            by_label = {
                label: {"mean": means[i], "max": peaks[i]} for i, label in enumerate(labels)
            }
        return {
            "type": "chunk",
            "seq": 0,
            "start": result.start,
            "end": result.end,
            "first_sample": self._sample(first),
            # The last frame of a stream is filled up with zeros that the client never sent.
            "end_sample": min(self._sample(first + frames), newest.position),
            "frames": frames,
            "probs": by_label,
            "sparsity": sparsity,
            "cost": {
                "compute_ms": round(compute_ms, 4),
                "queue_ms": round(queue_ms, 4),
                "batch": batch,
                "realtime_factor": _realtime_factor(result.end - result.start, compute_ms),
            },
        }

    def _sample(self, frame: int) -> int:
        """The sample of the client's stream at which a frame starts."""
        return frame * self._hop * self._rate // self._model_rate


def _realtime_factor(seconds: float, compute_ms: float) -> float:
    return round(seconds * 1000.0 / max(compute_ms, 1e-6), 3)


def _rates(result: ChunkResult) -> Sequence[float]:
    return open_rates(result.updates, result.hidden, result.computed)


def joined(results: list[ChunkResult]) -> ChunkResult:
    """Consecutive results as one."""
    first, last = results[0], results[-1]
    return replace(
        first,
        end=last.end,
        probs=np.concatenate([r.probs for r in results]),
        opened=np.concatenate([r.opened for r in results]),
        updates=tuple(sum(n) for n in zip(*[r.updates for r in results], strict=True)),
        computed=sum(r.computed for r in results),
        events=tuple(event for r in results for event in r.events),
        compute_ms=sum(r.compute_ms for r in results),
        summary=None,
    )


def owned(result: ChunkResult) -> ChunkResult:
    """The result without what it shares with the rest of its batch, which would stay with it."""
    return replace(result, probs=result.probs.copy(), opened=result.opened.copy(), summary=None)


def tail(result: ChunkResult, skip: int, spec: ModelSpec) -> ChunkResult:
    """The result without its first frames, as if it had been computed alone."""
    opened = result.opened[skip:]
    frames, first = len(opened), result.first_frame + skip
    return replace(
        result,
        start=first / spec.frame_rate,
        first_frame=first,
        probs=result.probs[skip:],
        opened=opened,
        updates=tuple(int(n) for n in opened.sum(axis=0, dtype=np.float64)),
        computed=frames,
        compute_ms=result.compute_ms * frames / result.frames,
        summary=None,
    )
