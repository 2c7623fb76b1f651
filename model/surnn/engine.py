"""Sessions over a runtime: what the embedded API, file scoring and the server all stand on.

The engine does no I/O, holds no lock and starts no thread. A `Session` is everything that one
stream remembers; `Engine.step` runs the waiting frames of many sessions in one batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from surnn.encodings import Encoding
from surnn.errors import InvalidConfig, InvalidSnapshot
from surnn.events import EventDetector, override_rules
from surnn.ingest import Ingest, Samples
from surnn.runtimes.base import FrameBlock, Runtime
from surnn.snapshot import Snapshot, StreamState
from surnn.spec import Head, ModelSpec
from surnn.state import Slot, StateArrays
from surnn.types import ChunkResult, Event, Float32, Sparsity

__all__ = ["Engine", "Session", "StreamConfig", "probabilities", "sparsity_of"]


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """How a stream arrives, and what is to be found in it."""

    sample_rate: int | None = None
    """Samples per second of the stream; None: the model's own."""
    encoding: Encoding = Encoding.PCM_S16LE
    """How bytes are read. Arrays carry their own type."""
    channels: int | None = None
    """Interleaved channels; None: as many as the model takes."""
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Changes to the model's event rules, by label: `{"speech": {"on": 0.7}}`."""
    start_frame: int = 0
    """Where the clock of the switches starts."""


class Session:
    """Everything that one stream remembers. Made by `Engine.open`."""

    def __init__(self, spec: ModelSpec, config: StreamConfig, slot: Slot) -> None:
        self.spec = spec
        self.slot = slot
        self.ingest = Ingest(
            spec,
            sample_rate=config.sample_rate,
            encoding=config.encoding,
            channels=config.channels,
        )
        self.detector = EventDetector(spec)
        self.frames = 0
        """Frames computed so far: `reported` ones and the model's lookahead."""
        self.updates = np.zeros(len(spec.layers), dtype=np.int64)
        """Neuron updates done so far in each layer [L]."""
        self.events = 0
        """Events found so far: what numbers them."""
        self.missing = 0
        """Frames that were skipped: time passed, nothing was computed."""
        self.config = config

    @property
    def ready(self) -> int:
        """Whole frames waiting to be computed."""
        return self.ingest.ready

    @property
    def ended(self) -> bool:
        """Has the end of the stream been taken in? Frames may still be waiting."""
        return self.ingest.finished

    @property
    def seconds(self) -> float:
        """Length of the stream reported so far."""
        return self.reported / self.spec.frame_rate

    @property
    def reported(self) -> int:
        """Frames that results have covered so far."""
        return max(0, self.frames - self.spec.lookahead)

    def push(self, data: Samples) -> None:
        """Take in a chunk of any size (see `Ingest.push`)."""
        self.ingest.push(data)

    def finish(self) -> int:
        """Take in the end of the stream; the frames it completes are then ready.

        Returns how many bytes of a split sample were dropped.
        """
        return self.ingest.finish()

    def close_events(self) -> list[Event]:
        """End events for the spans still open, once the last frame was computed."""
        events = self.detector.finish()
        self.events += len(events)
        return events

    def sparsity(self) -> Sparsity:
        """How much of the network the whole stream updated so far."""
        return sparsity_of(self.spec, self.updates, self.frames - self.missing)

    def absorb(self, block: FrameBlock, compute_ms: float) -> ChunkResult:
        """Turn what the runtime computed into a result.

        What is computed in frame t answers for frame t - lookahead: the first frames of a stream
        give results that cover nothing yet.
        """
        spec, computed = self.spec, len(block.logits)
        early = max(0, spec.lookahead - self.frames)
        probs = probabilities(block.logits[early:], spec.head)
        updates = block.opened.sum(axis=0, dtype=np.float64).astype(np.int64)
        first = self.reported
        self.frames += computed
        self.updates += updates
        events = self.detector.update(probs)
        self.events += len(events)
        hidden = np.array([layer.hidden for layer in spec.layers], np.float32)
        return ChunkResult(
            start=first / spec.frame_rate,
            end=self.reported / spec.frame_rate,
            first_frame=first,
            probs=probs,
            open_rates=block.opened[early:] / hidden,
            events=tuple(events),
            sparsity=sparsity_of(spec, updates, computed),
            compute_ms=compute_ms,
        )


class Engine:
    """Sessions of one model. Not thread-safe: one worker owns an engine."""

    def __init__(self, runtime: Runtime, capacity: int = 1) -> None:
        self.runtime = runtime
        self.spec = runtime.spec
        self.pool = runtime.new_pool(capacity)

    def open(self, config: StreamConfig | None = None) -> Session:
        """Start a stream. Raises `InvalidConfig`, or `PoolFull` when no slot is free."""
        config = config or StreamConfig()
        if not 0 <= config.start_frame < 2**62:
            raise InvalidConfig(f"start_frame is {config.start_frame}, expected 0 to 2^62 - 1")
        spec = override_rules(self.spec, config.thresholds) if config.thresholds else self.spec
        slot = self.pool.acquire()
        try:
            session = Session(spec, config, slot)
        except BaseException:
            self.pool.release(slot)
            raise
        if config.start_frame:
            state = self.pool.read(slot)
            state["t"] = np.asarray(config.start_frame, dtype=np.int64)
            self.pool.write(slot, state)
        return session

    def save(self, session: Session) -> Snapshot:
        """Everything that the session remembers, frames that wait included.

        Raises `StaleSlot` when it was closed, `InvalidSnapshot` once its end was taken in.
        """
        if session.ended:
            raise InvalidSnapshot("stream has ended, expected one that goes on")
        arrays, phase = session.ingest.memory()
        states = self.pool.read(session.slot)
        state = StreamState(
            model=self.runtime.fingerprint,
            sample_rate=session.ingest.sample_rate,
            encoding=session.ingest.encoding,
            channels=session.ingest.channels,
            thresholds={k: dict(v) for k, v in session.config.thresholds.items()},
            position=session.ingest.position,
            frames=session.frames,
            events=session.events,
            updates=tuple(session.updates.tolist()),
            spans=session.detector.memory(),
            resampler_phase=phase,
            missing=session.missing,
        )
        return Snapshot(state, arrays | {f"state.{k}": v for k, v in states.items()})

    def restore(self, snapshot: Snapshot) -> Session:
        """A session that goes on, bit for bit, where the saved one stood.

        Raises `InvalidSnapshot` or another `InvalidInput` when the snapshot does not fit this
        model, `PoolFull` when no slot is free.
        """
        state = snapshot.state
        if state.model != self.runtime.fingerprint:
            raise InvalidSnapshot(
                f"session belongs to model {state.model}, expected {self.runtime.fingerprint}"
            )
        session = self.open(
            StreamConfig(
                sample_rate=state.sample_rate,
                encoding=state.encoding,
                channels=state.channels,
                thresholds=state.thresholds,
            )
        )
        try:
            own: StateArrays = {}
            states: StateArrays = {}
            for name, array in snapshot.arrays.items():
                kind, _, rest = name.rpartition(".")
                (states if kind == "state" else own)[rest] = array
            session.ingest.remember(state.position, own, state.resampler_phase)
            if len(state.updates) != len(session.updates):
                raise InvalidSnapshot(
                    f"{len(state.updates)} layers, expected {len(session.updates)}"
                )
            session.frames, session.events = state.frames, state.events
            session.missing = state.missing
            session.detector.remember(session.reported, state.spans)
            session.updates = np.array(state.updates, dtype=np.int64)
            self.pool.write(session.slot, states)
        except BaseException:
            self.close(session)
            raise
        return session

    def skip(self, session: Session, samples: int) -> int:
        """Let the time of so many lost samples pass, at the stream's own rate.

        Whole frames cost nothing: the clock and the numbers go on, states stay as they are. What
        is left of a frame is returned, to be filled with silence by the caller.

        Raises `InvalidConfig` while frames wait: they come before the gap.
        """
        if session.ready:
            raise InvalidConfig(f"{session.ready} frames wait, expected none before a gap")
        spec, ingest = self.spec, session.ingest
        # The fewest frames that are a whole number of samples at both rates.
        step = spec.sample_rate // math.gcd(spec.sample_rate, spec.hop * ingest.sample_rate)
        samples_per_step = step * spec.hop * ingest.sample_rate // spec.sample_rate
        frames = samples // samples_per_step * step
        if frames:
            state = self.pool.read(session.slot)
            state["t"] = np.asarray(int(state["t"]) + frames, dtype=np.int64)
            self.pool.write(session.slot, state)
            session.frames += frames
            session.missing += frames
            ingest.position += frames // step * samples_per_step
            session.detector.remember(session.reported, session.detector.memory())
        return samples % samples_per_step

    def close(self, session: Session) -> None:
        """Free the session's slot, at once. Closing twice is harmless."""
        self.pool.release(session.slot)

    def step(self, sessions: Sequence[Session], max_frames: int = 1000) -> list[ChunkResult | None]:
        """Compute what waits in each session, at most `max_frames` of it, as one batch.

        Sessions with no whole frame give None. Raises `StaleSlot` when a session was closed, or
        `InvalidShape` when one appears twice; every session then still has its frames.
        """
        results: list[ChunkResult | None] = [None] * len(sessions)
        self.pool.rows([session.slot for session in sessions])
        batch = [i for i, session in enumerate(sessions) if session.ready]
        if not batch:
            return results
        frames = [sessions[i].ingest.take(max_frames) for i in batch]
        began = time.perf_counter()
        blocks = self.runtime.run(self.pool, [sessions[i].slot for i in batch], frames)
        compute_ms = (time.perf_counter() - began) * 1000.0 / len(batch)
        for i, block in zip(batch, blocks, strict=True):
            results[i] = sessions[i].absorb(block, compute_ms)
        return results


def probabilities(logits: Float32, head: Head) -> Float32:
    """Probabilities [T, C] from logits [T, C]; a linear head's numbers stay what they are."""
    if head is Head.LINEAR:
        return logits
    if head is Head.SIGMOID:
        independent: Float32 = (0.5 * (1.0 + np.tanh(0.5 * logits))).astype(np.float32)
        return independent
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    normalised: Float32 = (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)
    return normalised


def sparsity_of(spec: ModelSpec, updates: np.ndarray, frames: int) -> Sparsity:
    """Of that many frames, in which each layer made so many updates [L]."""
    rates = tuple(
        float(n) / (layer.hidden * frames) if frames else 0.0
        for n, layer in zip(updates, spec.layers, strict=True)
    )
    each = [
        sum(state.nbytes for state in spec.layer_states(i)) // layer.hidden
        for i, layer in enumerate(spec.layers)
    ]
    return Sparsity(
        open_rate=rates,
        updates=int(updates.sum()),
        possible=spec.neurons * frames,
        bytes_written=sum(int(n) * size for n, size in zip(updates, each, strict=True)),
        bytes_possible=frames
        * sum(layer.hidden * size for layer, size in zip(spec.layers, each, strict=True)),
    )
