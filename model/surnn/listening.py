"""Recordings with labels, and what a model makes of them: streamed one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surnn.audiofile import AudioFile
from surnn.dataset.audio import read_audio
from surnn.dataset.labelled import Truth, frame_truth
from surnn.dataset.motion import is_motion_folder, read_executions
from surnn.dataset.record import DataRecord
from surnn.dataset.sensor import read_sensor
from surnn.dataset.split import Part
from surnn.errors import InvalidConfig, InvalidInput
from surnn.model import Model
from surnn.segments import Segment
from surnn.spec import Head, ModelKind, ModelSpec
from surnn.spotting import LEAD, TAIL, spots
from surnn.types import ChunkResult, Float32

__all__ = ["Heard", "Progress", "chosen_names", "hear"]

_BLOCK_SECONDS = 10.0

Progress = Callable[[str, float], None]


@dataclass(slots=True)
class Heard:
    """What a model made of one recording."""

    name: str
    path: Path | None
    """None where the recording is not a file of its own."""
    segments: tuple[Segment, ...]
    probs: Float32
    """[T, C]"""
    opened: Float32
    """Share of open neurons [T, L]."""
    truth: Truth
    seconds: float
    """Length of the recording."""
    elapsed: float
    """Seconds of reading, resampling and computing."""
    group: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    """What a table of labels says of the whole recording."""


def hear(
    model: Model,
    folder: Path,
    *,
    part: Part | None = None,
    record: DataRecord | None = None,
    progress: Progress | None = None,
) -> list[Heard]:
    """Stream every recording of a folder (see `surnn.evaluate.evaluate`, also for what it raises).

    Recordings for a model that tells of moments get silence before and behind them.
    """
    spec, record = model.spec, record or DataRecord()
    chosen = chosen_names(record, part)
    if spec.kind is ModelKind.AUDIO:
        heard = list(_audio(model, folder, record, chosen, progress))
    elif is_motion_folder(folder):
        heard = list(_motion(model, folder, part or Part.VALID, progress))
    else:
        heard = list(_sensor(model, folder, record, chosen, progress))
    groups = {f.file: f.group for f in record.files}
    for one in heard:
        one.group = one.group or groups.get(one.name, "")
    return heard


def chosen_names(record: DataRecord, part: Part | None) -> set[str] | None:
    """Recordings that training kept for a part; None: all. Raises `InvalidConfig`."""
    if part is None or (part is Part.VALID and not record.files):
        return None
    names = record.names(part)
    if not names:
        raise InvalidConfig(
            f"no recording was kept for {part.value!r} when this model was trained "
            "(data.json beside the model says what was)"
        )
    return names


def _audio(
    model: Model,
    folder: Path,
    record: DataRecord,
    chosen: set[str] | None,
    progress: Progress | None,
) -> Iterator[Heard]:
    spec = model.spec
    recordings = [
        r for r in read_audio(folder, record.labels) if chosen is None or r.name in chosen
    ]
    _check_known(folder, spec, (s for r in recordings for s in r.segments))
    _check_chosen(folder, chosen, {r.name for r in recordings})
    for recording in recordings:
        results: list[ChunkResult] = []
        began = time.perf_counter()
        with (
            AudioFile(recording.path, recording.name) as audio,
            model.stream(sample_rate=audio.sample_rate, channels=audio.channels) as stream,
        ):
            if spots(spec):
                results += stream.feed(_silence(audio, LEAD))
            for block in audio.blocks(_BLOCK_SECONDS):
                results += stream.feed(block)
                if progress is not None:
                    progress(recording.name, len(block) / audio.sample_rate)
            if spots(spec):
                results += stream.feed(_silence(audio, TAIL))
            results += stream.finish()[0]
        elapsed = time.perf_counter() - began
        one = _heard(
            spec,
            recording.name,
            recording.path,
            recording.segments,
            results,
            recording.seconds,
            elapsed,
            record,
        )
        one.fields = recording.fields
        yield one


def _silence(audio: AudioFile, seconds: float) -> Float32:
    """Silence [n, channels] before or behind a recording."""
    return np.zeros((round(seconds * audio.sample_rate), audio.channels), np.float32)


def _sensor(
    model: Model,
    folder: Path,
    record: DataRecord,
    chosen: set[str] | None,
    progress: Progress | None,
) -> Iterator[Heard]:
    spec = model.spec
    columns = record.columns if record.columns.channels else None
    series = [
        s
        for s in read_sensor(folder, spec.sample_rate, columns, record.labels)
        if chosen is None or s.labelled.name in chosen
    ]
    for one in series:
        if one.rows.shape[1] != spec.channels:
            raise InvalidInput(
                f"{one.labelled.path}: {one.rows.shape[1]} channels, expected {spec.channels}"
            )
    _check_known(folder, spec, (m for s in series for m in s.labelled.segments))
    _check_chosen(folder, chosen, {s.labelled.name for s in series})
    for one in series:
        began = time.perf_counter()
        with model.stream() as stream:
            results = [*stream.feed(one.samples), *stream.finish()[0]]
        elapsed = time.perf_counter() - began
        if progress is not None:
            progress(one.labelled.name, one.labelled.seconds)
        yield _heard(
            spec,
            one.labelled.name,
            one.labelled.path,
            one.labelled.segments,
            results,
            one.labelled.seconds,
            elapsed,
            record,
        )


def _motion(model: Model, folder: Path, part: Part, progress: Progress | None) -> Iterator[Heard]:
    """Executions of the activity sets (see `surnn.dataset.motion`)."""
    spec = model.spec
    for execution in read_executions(folder, part.value, spec.sample_rate, spec.labels):
        samples, activity = execution.by_time
        began = time.perf_counter()
        with model.stream() as stream:
            results = [*stream.feed(samples), *stream.finish()[0]]
        elapsed = time.perf_counter() - began
        seconds = len(samples) / spec.sample_rate
        if progress is not None:
            progress(execution.name, seconds)
        one = _heard(spec, execution.name, None, (), results, seconds, elapsed, DataRecord())
        table = np.eye(len(spec.labels), dtype=np.bool_)[activity]
        one.truth = Truth(table, np.ones(len(table), np.bool_))
        one.segments = tuple(_runs(activity, spec))
        one.group = execution.subject
        yield one


def _runs(activity: NDArray[np.uint8], spec: ModelSpec) -> Iterator[Segment]:
    edges = [0, *(np.flatnonzero(np.diff(activity)) + 1).tolist(), len(activity)]
    for first, last in pairwise(edges):
        label = spec.labels[int(activity[first])]
        yield Segment(first / spec.frame_rate, last / spec.frame_rate, label)


def _heard(
    spec: ModelSpec,
    name: str,
    path: Path | None,
    segments: Iterable[Segment],
    results: list[ChunkResult],
    seconds: float,
    elapsed: float,
    record: DataRecord,
) -> Heard:
    own = tuple(s for s in segments if s.label in spec.labels)
    # Of a model that tells of moments, the first frames are of silence before the recording.
    skip = round(LEAD * spec.frame_rate) if spots(spec) and spec.kind is ModelKind.AUDIO else 0
    probs = np.concatenate([r.probs for r in results])[skip:]
    opened = np.concatenate([r.open_rates for r in results])[skip:]
    background = record.labels.background
    truth = frame_truth(
        own,
        spec.labels,
        len(probs),
        spec.frame_rate,
        exclusive=spec.head is Head.SOFTMAX,
        background=background if background in spec.labels else None,
    )
    return Heard(name, path, own, probs, opened, truth, seconds, elapsed)


def _check_known(folder: Path, spec: ModelSpec, segments: Iterable[Segment]) -> None:
    seen = sorted({s.label for s in segments})
    if seen and not set(seen) & set(spec.labels):
        expected = repr(spec.labels[0]) if len(spec.labels) == 1 else f"some of {list(spec.labels)}"
        raise InvalidInput(f"{folder}: labels are {seen}, expected {expected} among them")


def _check_chosen(folder: Path, chosen: set[str] | None, seen: set[str]) -> None:
    if chosen is not None and (missing := sorted(chosen - seen)):
        raise InvalidInput(
            f"{folder}: no recording {missing[0]!r} ({len(missing)} missing), "
            "expected those that training kept apart"
        )
