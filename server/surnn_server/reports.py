"""From results to messages: what a client asked to be told, merged as it asked. No I/O."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from surnn import ChunkResult, Event, ModelSpec
from surnn.engine import sparsity_of
from surnn_server import replies
from surnn_server.lines import Computed, Ended
from surnn_server.messages import Report
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
        self._least_frames = max(1, math.ceil(interval_ms / 1000 * spec.frame_rate - 1e-9))
        self._merged: list[Computed] = []
        self._merged_frames = 0
        self._open_rate: tuple[float, ...] = (0.0,) * len(spec.layers)
        self._compute_ms = 0.0
        self._reported_frames = reported_frames
        self.events = events
        """Events of the stream reported so far: what numbers them."""

    def computed(self, item: Computed, now: float) -> list[Reply]:
        """Frames were computed: their events, and a chunk when it is due."""
        result = item.result
        self._compute_ms += result.compute_ms
        self._open_rate = result.sparsity.open_rate
        messages = [self._event(event, item.arrived, now) for event in result.events]
        if self._report is not Report.EVENTS and (fresh := self._fresh(item)):
            self._merged.append(fresh)
            self._merged_frames += fresh.result.frames
            if self._merged_frames >= self._least_frames:
                messages += self.flush()
        return messages

    def flush(self) -> list[Reply]:
        """The chunk that is being merged, whatever it covers."""
        if not self._merged_frames:
            return []  # nothing yet, or only frames that wait for the model's lookahead
        items, self._merged, self._merged_frames = self._merged, [], 0
        return [self._chunk(items)]

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
        if known >= result.frames:
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

    def _chunk(self, items: list[Computed]) -> Reply:
        results = [item.result for item in items]
        first, last = results[0], results[-1]
        single = len(results) == 1
        probs = first.probs if single else np.concatenate([r.probs for r in results])
        frames = len(probs)
        rates = first.open_rates
        if single:
            open_rate = first.sparsity.open_rate
        else:
            rates = np.concatenate([r.open_rates for r in results])
            open_rate = tuple(rates.mean(axis=0, dtype=np.float64).tolist())
        sparsity = replies.sparsity(
            open_rate,
            updates=sum(r.sparsity.updates for r in results),
            possible=sum(r.sparsity.possible for r in results),
        )
        labels = self._spec.labels
        if self._report is Report.FRAME:
            columns = np.ascontiguousarray(probs.T)
            by_label: Reply = dict(zip(labels, columns, strict=True))
            sparsity["frames"] = list(np.ascontiguousarray(rates.T))
        else:
            mean = np.add.reduce(probs) / np.float32(frames)
            peak = np.maximum.reduce(probs)
            by_label = {label: {"mean": mean[i], "max": peak[i]} for i, label in enumerate(labels)}
        compute_ms = sum(r.compute_ms for r in results)
        return {
            "type": "chunk",
            "seq": 0,
            "start": first.start,
            "end": last.end,
            "first_sample": self._sample(first.first_frame),
            # The last frame of a stream is filled up with zeros that the client never sent.
            "end_sample": min(self._sample(first.first_frame + frames), items[-1].position),
            "frames": frames,
            "probs": by_label,
            "sparsity": sparsity,
            "cost": {
                "compute_ms": round(compute_ms, 4),
                "queue_ms": round(max(item.queue_ms for item in items), 4),
                "batch": max(item.batch for item in items),
                "realtime_factor": _realtime_factor(last.end - first.start, compute_ms),
            },
        }

    def _sample(self, frame: int) -> int:
        """The sample of the client's stream at which a frame starts."""
        return frame * self._spec.hop * self._rate // self._spec.sample_rate


def _realtime_factor(seconds: float, compute_ms: float) -> float:
    return round(seconds * 1000.0 / max(compute_ms, 1e-6), 3)


def tail(result: ChunkResult, skip: int, spec: ModelSpec) -> ChunkResult:
    """The result without its first frames, as if it had been computed alone."""
    rates = result.open_rates[skip:]
    hidden = np.array([layer.hidden for layer in spec.layers])
    updates = np.rint(rates * hidden).sum(axis=0, dtype=np.float64)
    frames, first = len(rates), result.first_frame + skip
    return replace(
        result,
        start=first / spec.frame_rate,
        first_frame=first,
        probs=result.probs[skip:],
        open_rates=rates,
        sparsity=sparsity_of(spec, updates, frames),
        compute_ms=result.compute_ms * frames / result.frames,
    )
