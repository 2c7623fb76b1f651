"""One file on its way through an engine, and what is found in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from surnn.engine import Engine, Session, StreamConfig
from surnn.errors import AudioTooLong, InvalidAudio, SurnnError
from surnn.events import override_rules
from surnn.recording import Recording, open_recording
from surnn.sources import Source, source_name
from surnn.spec import ModelSpec
from surnn.types import ChunkResult, Event, EventKind, Float32, Sparsity

__all__ = ["FileError", "FileScan", "FileScore", "FrameTrack", "ScanOptions", "Segment"]

_USUAL_VALUES_PER_SECOND = 96_000
"""48 kHz in stereo: what decodes to more than this counts as longer."""
_READ_SECONDS = 2.0
"""What is read at once: a few MB even of eight channels at the highest rate."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A label holds from `start` to `end`, in seconds from the start of the file."""

    label: str
    start: float
    end: float
    score: float
    """Peak probability."""


@dataclass(frozen=True, slots=True)
class FileError:
    """Why a file could not be scored."""

    code: str
    """The stable name of the error's kind (see `surnn.errors`)."""
    message: str


@dataclass(frozen=True, slots=True)
class FrameTrack:
    """Every frame of a file."""

    rate: float
    """Frames per second."""
    probs: Float32
    """Probabilities [T, C], in the order of the model's labels."""
    open_rates: Float32
    """Share of open switches in each frame and layer [T, L]."""


@dataclass(frozen=True, slots=True)
class FileScore:
    """What a model found in one file."""

    file: str
    """The path as it was given, or the name of an upload."""
    model: str
    labels: tuple[str, ...]
    seconds: float
    """Length of the recording. With an error: of what was read of it."""
    segments: tuple[Segment, ...]
    """In order of their starts; none with an error."""
    sparsity: Sparsity
    compute_ms: float
    """The file's share of the time that the runtime took."""
    frames: FrameTrack | None = None
    """Where they were asked for."""
    error: FileError | None = None

    @property
    def realtime_factor(self) -> float:
        """Seconds of recording handled in one second of computing."""
        return self.seconds / max(self.compute_ms / 1000.0, 1e-9)


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """How files are scored."""

    thresholds: Mapping[str, Mapping[str, float]]
    frames: bool
    sample_rate: int | None
    """Of files that do not say."""
    max_seconds: float | None = None
    """Longer files are refused."""

    @classmethod
    def check(
        cls,
        spec: ModelSpec,
        thresholds: Mapping[str, Mapping[str, float]],
        frames: bool,
        sample_rate: int | None,
        max_seconds: float | None = None,
    ) -> ScanOptions:
        """Options that suit the model. Raises `InvalidConfig`."""
        override_rules(spec, thresholds)
        return cls(thresholds, frames, sample_rate, max_seconds)


class FileScan:
    """One file on its way through an engine.

    `fill` reads, `absorb` takes what the engine made of it, until `finished`; then `score` tells
    the result. Errors of the file end the scan and are kept in `error`.
    """

    def __init__(self, engine: Engine, source: Source, options: ScanOptions) -> None:
        self.engine = engine
        self.file = source_name(source)
        self.session: Session | None = None
        """None once the scan has failed or was closed."""
        self.error: FileError | None = None
        self.finished = False
        self.seconds = 0.0
        """Length of what was computed so far."""
        self._options = options
        self._spans = _Spans(1.0 / engine.spec.frame_rate)
        self._taken = 0
        self._tracks: list[tuple[Float32, Float32]] = []
        self._compute_ms = 0.0
        self._sparsity = Sparsity((0.0,) * len(engine.spec.layers), 0, 0)
        self._recording: Recording | None = None
        try:
            self._open(source)
        except SurnnError as error:
            self._fail(error)

    def _open(self, source: Source) -> None:
        recording = self._recording = open_recording(self.engine.spec, source)
        self.session = self.engine.open(
            StreamConfig(
                sample_rate=recording.sample_rate or self._options.sample_rate,
                channels=recording.channels,
                thresholds=self._options.thresholds,
            )
        )
        self._blocks = recording.blocks(_READ_SECONDS)
        self._check_length(recording.frames or 0)

    def _check_length(self, samples: int) -> None:
        """Refuse what is too long, by its header or by what was read. Raises `AudioTooLong`."""
        limit, session = self._options.max_seconds, self.session
        if limit is None or session is None:
            return
        ingest = session.ingest
        # Decoding costs by the sample: an absurd rate makes a short file a lot of work.
        rate = max(ingest.sample_rate, 1)
        work = max(1.0, rate * ingest.channels / _USUAL_VALUES_PER_SECOND)
        if samples / rate * work > limit:
            raise AudioTooLong(
                f"{PurePath(self.file).name} lasts {samples / rate:.0f} s or more at {rate} Hz and "
                f"{ingest.channels} channels, expected at most {limit:g} s"
            )

    def fill(self, frames: int) -> None:
        """Read until this many frames wait to be computed, or to the end of the file."""
        session = self.session
        try:
            while session is not None and session.ready < frames and not session.ended:
                block = next(self._blocks, None)
                if block is None:
                    session.finish()
                else:
                    session.push(block)
                    self._check_length(session.ingest.position)
        except SurnnError as error:
            self._fail(error)
        except OSError as error:
            self._fail(InvalidAudio(f"reading failed ({error.strerror}), expected a whole file"))

    def absorb(self, result: ChunkResult | None) -> None:
        """Take what the engine computed of this file."""
        session = self.session
        if session is None:
            return
        if result is not None:
            self._spans.add(result.events)
            self._compute_ms += result.compute_ms
            if self._options.frames:
                self._tracks.append((result.probs, result.open_rates))
        length = session.ingest.position / session.ingest.sample_rate
        # The last frame may reach beyond the recording.
        self.seconds = min(session.seconds, length)
        if session.ended and not session.ready:
            self.seconds = length
            self._spans.add(session.close_events())
            self._sparsity = session.sparsity()
            self.finished = True

    def take_segments(self) -> list[Segment]:
        """Segments that ended since the last call, in order of their ends."""
        new = self._clip(self._spans.closed[self._taken :])
        self._taken = len(self._spans.closed)
        return new

    def score(self) -> FileScore:
        """The result, once the scan has finished."""
        spec = self.engine.spec
        segments = [] if self.error else self._clip(self._spans.closed)
        return FileScore(
            file=self.file,
            model=spec.name,
            labels=spec.labels,
            seconds=self.seconds,
            segments=tuple(sorted(segments, key=lambda s: (s.start, s.end, s.label))),
            sparsity=self._sparsity,
            compute_ms=self._compute_ms,
            frames=self._track() if self._options.frames and not self.error else None,
            error=self.error,
        )

    def close(self) -> None:
        """Free the session's slot and close the file. Closing twice is harmless."""
        if self.session is not None:
            self.engine.close(self.session)
            self.session = None
        if self._recording is not None:
            self._recording.close()

    def _fail(self, error: SurnnError) -> None:
        self.error = FileError(error.code, str(error))
        self.finished = True
        self.close()

    def _clip(self, segments: list[Segment]) -> list[Segment]:
        return [
            Segment(s.label, s.start, min(s.end, self.seconds), s.score)
            if s.end > self.seconds
            else s
            for s in segments
        ]

    def _track(self) -> FrameTrack:
        spec = self.engine.spec
        none = (
            np.zeros((0, len(spec.labels)), np.float32),
            np.zeros((0, len(spec.layers)), np.float32),
        )
        probs, open_rates = zip(none, *self._tracks, strict=True)
        return FrameTrack(spec.frame_rate, np.concatenate(probs), np.concatenate(open_rates))


class _Spans:
    """Puts the start and the end of each label's span together; a point lasts one frame."""

    def __init__(self, frame: float) -> None:
        self._frame = frame
        self.closed: list[Segment] = []
        self._starts: dict[str, float] = {}

    def add(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.kind is EventKind.START:
                self._starts[event.label] = event.time
            elif event.kind is EventKind.POINT:
                end = event.time + self._frame
                self.closed.append(Segment(event.label, event.time, end, event.score))
            else:
                start = self._starts.pop(event.label, event.time)
                self.closed.append(Segment(event.label, start, event.time, event.score))
