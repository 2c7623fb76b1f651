"""Inference requests: which sequence they belong to, and what they are answered. No HTTP."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from surnn import ChunkResult, Event, ModelSpec, SurnnError
from surnn.snapshot import Snapshot
from surnn_server.auth import Principal
from surnn_server.codes import ErrorCode, Refusal, code_of
from surnn_server.resumption import find_model
from surnn_server.saved import Checkpointed
from surnn_server.service import Service
from surnn_server.v2.inputs import SequenceFlags, StreamFormat, flags, outputs, samples
from surnn_server.v2.interface import EVENTS, OPEN_RATE, PROBABILITIES
from surnn_server.v2.sequences import Exchange, InferSequence
from surnn_server.v2.statistics import ModelStatistics
from surnn_server.v2.tensors import InferRequest, OutputTensor, render_response

__all__ = ["Inference", "SequenceKey"]

_Over = Callable[[InferSequence, str], None]

_REMEMBERED = 4096
"""Sequences whose end can still be explained."""


@dataclass(frozen=True, slots=True)
class SequenceKey:
    """A sequence's name: 5 and "5" are two, and so are the 5 of two API keys."""

    owner: str
    model: str
    id: int | str

    def __str__(self) -> str:
        return str(self.id)[:128]


@dataclass
class Inference:
    """All sequences of one app, and how requests went."""

    service: Service
    sequences: dict[SequenceKey, InferSequence] = field(default_factory=dict)
    statistics: dict[str, ModelStatistics] = field(default_factory=dict)
    _ended: OrderedDict[SequenceKey, str] = field(default_factory=OrderedDict)

    def stats_of(self, model: str) -> ModelStatistics:
        """The statistics of a served model."""
        return self.statistics.setdefault(model, ModelStatistics())

    async def infer(
        self, model: str, request: InferRequest, client: Principal
    ) -> tuple[bytes, int | None]:
        """The answer's body, and where its JSON ends if binary tensors follow. Raises `Refusal`."""
        began = time.perf_counter()
        spec = self.service.find(model).spec
        stats, outcome = self.stats_of(model), ErrorCode.INTERNAL.value
        try:
            wanted = flags(request)
            chosen = outputs(request)
            exchange = await self._exchange(spec, request, wanted, client)
            answer = _Answer(spec, exchange)
            tensors = [answer.tensor(output.name, output.binary) for output in chosen]
            outcome = "ok"
            stats.succeeded(time.perf_counter() - began, answer.results, exchange.queue_ms)
            return render_response(_head(spec, request, wanted, answer, exchange.saved), tensors)
        except Refusal as refusal:
            outcome = refusal.code.value
            raise
        except asyncio.CancelledError:
            outcome = "client_gone"
            raise
        finally:
            seconds = time.perf_counter() - began
            if outcome != "ok":
                stats.failed(seconds)
            self.service.metrics.infer(model, outcome, seconds)

    async def _exchange(
        self, spec: ModelSpec, request: InferRequest, wanted: SequenceFlags, client: Principal
    ) -> Exchange:
        sequence = self._sequence(spec, request, wanted, client)
        try:
            if request.inputs or wanted.id is None:
                data = samples(spec, request.inputs, sequence.format.channels).data
            else:
                data = memoryview(b"")
            if wanted.id is None:
                self._check_length(sequence.format.seconds(len(data)))
            exchange = sequence.send(data, end=wanted.end, save=wanted.checkpoint)
        except Refusal as refusal:
            if wanted.start:
                # A sequence that has not begun: the start flag has to come again.
                sequence.close(refusal.code.value, refusal.message)
            raise
        try:
            await exchange.done
        except asyncio.CancelledError:
            if wanted.id is None:
                sequence.close("client_gone", "its client is gone")
            raise
        return exchange

    def _sequence(
        self, spec: ModelSpec, request: InferRequest, wanted: SequenceFlags, client: Principal
    ) -> InferSequence:
        if wanted.id is None:
            return self._start(spec, request, client, None, lambda sequence, reason: None)
        key = SequenceKey(client.name, spec.name, wanted.id)
        sequence = self.sequences.get(key)
        if wanted.start:
            snapshot = self._snapshot(spec, wanted.resume) if wanted.resume is not None else None
            if sequence is not None:
                sequence.close("restarted", f"sequence {key} was started again")
            started = self._start(
                spec, request, client, snapshot, lambda ended, why: self._forget(key, ended, why)
            )
            self.sequences[key] = started
            return started
        if sequence is None or sequence.ending:
            raise self._not_started(key)
        sequence.check_duration()
        sequence.format.check_same(spec, request)
        return sequence

    def _snapshot(self, spec: ModelSpec, token: str) -> Snapshot:
        """The sequence in a token. Raises `Refusal`."""
        try:
            snapshot = self.service.sealer.open(token)
        except SurnnError as error:
            raise Refusal(code_of(error), str(error)) from error
        find_model(snapshot, self.service.fingerprints, spec.name)
        return snapshot

    def _check_length(self, seconds: float) -> None:
        limit = self.service.settings.max_file_seconds
        if limit and seconds > limit:
            raise Refusal(
                ErrorCode.AUDIO_TOO_LONG,
                f"the signal lasts {seconds:g} s, expected at most {limit:g} s, or a sequence",
            )

    def _start(
        self,
        spec: ModelSpec,
        request: InferRequest,
        client: Principal,
        snapshot: Snapshot | None,
        over: _Over,
    ) -> InferSequence:
        if len(request.inputs) != 1:
            samples(spec, request.inputs, spec.channels)
        saved = snapshot.state if snapshot else None
        format = StreamFormat.of(spec, request.inputs[0].datatype, request.parameters, saved)
        idle_timeout_s = self.service.settings.sequence_idle_timeout_s
        return InferSequence(
            self.service, client, spec.name, format, idle_timeout_s, over, snapshot
        )

    def _forget(self, key: SequenceKey, sequence: InferSequence, reason: str) -> None:
        if self.sequences.get(key) is sequence:
            del self.sequences[key]
        self._ended[key] = reason
        self._ended.move_to_end(key)
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)

    def _not_started(self, key: SequenceKey) -> Refusal:
        # Triton's words first: its clients' users search for them.
        message = (
            f"inference request for sequence {key} to model '{key.model}' must specify the START "
            "flag on the first request of the sequence"
        )
        if key in self._ended:
            message += f"; of sequence {key}: {self._ended[key]}"
        return Refusal(ErrorCode.INVALID_REQUEST, message)


class _Answer:
    """What one request gets."""

    def __init__(self, spec: ModelSpec, exchange: Exchange) -> None:
        self.results: list[ChunkResult] = exchange.results
        self.first_frame = exchange.first_frame
        self.frames = sum(result.frames for result in self.results)
        self._spec = spec
        self._closing = exchange.closing

    def tensor(self, name: str, binary: bool) -> OutputTensor:
        """The output of that name."""
        if name == EVENTS:
            events = [*(e for r in self.results for e in r.events), *self._closing]
            return OutputTensor(
                name, "BYTES", (1, len(events)), [_event(e) for e in events], binary
            )
        arrays = {
            PROBABILITIES: ([r.probs for r in self.results], len(self._spec.labels)),
            OPEN_RATE: ([r.open_rates for r in self.results], len(self._spec.layers)),
        }
        parts, width = arrays[name]
        data = np.concatenate([np.zeros((0, width), np.float32), *parts])
        return OutputTensor(name, "FP32", (1, *data.shape), data, binary)


def _event(event: Event) -> str:
    return orjson.dumps(
        {
            "label": event.label,
            "kind": event.kind.value,
            "time": event.time,
            "score": event.score,
        }
    ).decode()


def _head(
    spec: ModelSpec,
    request: InferRequest,
    wanted: SequenceFlags,
    answer: _Answer,
    saved: Checkpointed | None,
) -> Mapping[str, Any]:
    parameters: dict[str, Any] = {
        "first_frame": answer.first_frame,
        "frame_rate": spec.frame_rate,
        "updates": sum(r.sparsity.updates for r in answer.results),
        "possible": sum(r.sparsity.possible for r in answer.results),
        "compute_ms": sum(r.compute_ms for r in answer.results),
    }
    if wanted.id is not None:
        parameters["sequence_id"] = wanted.id
        parameters["sequence_start"] = wanted.start
        parameters["sequence_end"] = wanted.end
    if saved is not None:
        parameters["checkpoint"] = saved.token
        parameters["position"] = saved.position
    head = {"model_name": spec.name, "model_version": spec.version, "parameters": parameters}
    return head if request.id is None else {"id": request.id, **head}
