"""Sessions over a runtime: what the embedded API, file scoring and the server all stand on.

The engine does no I/O, holds no lock and starts no thread. A `Session` is everything that one
stream remembers; `Engine.step` runs the waiting frames of many sessions in one batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import add

import numpy as np

from surnn.answers import Answer, answer_all, answer_one
from surnn.encodings import Encoding
from surnn.errors import InvalidConfig, InvalidSnapshot
from surnn.events import EventDetector, override_rules
from surnn.ingest import Ingest, Samples, take_frames
from surnn.runtimes.base import Runtime
from surnn.snapshot import Snapshot, StreamState
from surnn.spec import ModelSpec
from surnn.state import Slot, StateArrays
from surnn.types import ChunkResult, Event, Sparsity

__all__ = ["Engine", "Session", "StreamConfig"]


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
        # A spec works these out anew whenever it is asked.
        self._frame_rate, self._lookahead = spec.frame_rate, spec.lookahead
        self.hidden = tuple(layer.hidden for layer in spec.layers)
        self.neuron_bytes = spec.neuron_bytes
        self.updates: list[int] = [0] * len(spec.layers)
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
        return max(0, self.frames - self._lookahead)

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
        return Sparsity.of(self.updates, self.hidden, self.frames - self.missing, self.neuron_bytes)

    def absorb(self, answer: Answer, compute_ms: float) -> ChunkResult:
        """Count frames that were computed, and find their events: the result of both."""
        probs, opened, updates, computed, extremes, summary = answer
        # As `reported`, before and after.
        rate, lookahead = self._frame_rate, self._lookahead
        first = max(0, self.frames - lookahead)
        self.frames += computed
        self.updates = [*map(add, self.updates, updates)]
        events = self.detector.update(probs, extremes)
        self.events += len(events)
        return ChunkResult(
            first / rate,
            max(0, self.frames - lookahead) / rate,
            first,
            probs,
            opened,
            self.hidden,
            self.neuron_bytes,
            updates,
            computed,
            tuple(events),
            compute_ms,
            summary,
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
            updates=tuple(session.updates),
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
            session.updates = list(state.updates)
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
        if len(sessions) == 1:
            return [self._step_one(sessions[0], max_frames)]
        results: list[ChunkResult | None] = [None] * len(sessions)
        self.pool.rows([session.slot for session in sessions])
        batch = [i for i, session in enumerate(sessions) if session.ready]
        if not batch:
            return results
        frames = take_frames([sessions[i].ingest for i in batch], max_frames)
        began = time.perf_counter()
        blocks = self.runtime.run(self.pool, [sessions[i].slot for i in batch], frames)
        compute_ms = (time.perf_counter() - began) * 1000.0 / len(batch)
        answers = answer_all([sessions[i] for i in batch], blocks)
        for i, answer in zip(batch, answers, strict=True):
            results[i] = sessions[i].absorb(answer, compute_ms)
        return results

    def _step_one(self, session: Session, max_frames: int) -> ChunkResult | None:
        """The same for one session, without what a batch takes: short chunks notice it."""
        slot = session.slot
        if not self.pool.holds(slot):
            self.pool.rows([slot])  # says what is wrong
        if not session.ingest.ready:
            return None
        frames = take_frames([session.ingest], max_frames)
        began = time.perf_counter()
        block = self.runtime.run(self.pool, [slot], frames)[0]
        compute_ms = (time.perf_counter() - began) * 1000.0
        return session.absorb(answer_one(session, block), compute_ms)
