"""Score a model against labelled recordings: what `surnn eval` prints.

A folder holds audio or sensor tables and their labels in any layout of `surnn.dataset`. Every
recording counts; one without segments holds none of the labels. The figures have one shape for all
models: measures over all frames on top, the same for each label under `labels` and for each
recording under `files`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surnn.audiofile import AudioFile
from surnn.dataset.audio import audio_files, read_audio
from surnn.dataset.labelled import Truth, frame_truth
from surnn.dataset.motion import is_motion_folder, read_executions
from surnn.dataset.record import DataRecord
from surnn.dataset.sensor import read_sensor
from surnn.dataset.split import Part
from surnn.dataset.tables import table_files
from surnn.errors import InvalidConfig, InvalidInput
from surnn.measures import (
    EventMatch,
    calibration,
    event_figures,
    frame_figures,
    label_figures,
    match_events,
)
from surnn.model import Model
from surnn.segments import Segment
from surnn.spec import Head, ModelKind, ModelSpec
from surnn.types import ChunkResult, Float32

__all__ = ["Evaluation", "Heard", "audio_files", "count", "evaluate", "listen"]

_BLOCK_SECONDS = 10.0
_POINT_LATE = 0.5
"""Seconds behind a word in which its event still counts."""

Figures = dict[str, object]
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


@dataclass(slots=True)
class Evaluation:
    """Figures, and the frames that they come from: reports draw them."""

    figures: Figures
    heard: list[Heard] = field(default_factory=list)


def evaluate(
    model: Model,
    directory: Path | str,
    *,
    part: Part | None = None,
    record: DataRecord | None = None,
    progress: Progress | None = None,
) -> Figures:
    """Measure a model frame by frame on a folder of labelled recordings.

    Recordings are streamed one after another; some bytes a frame are kept until the end, for the
    AUC. No threshold is chosen here: the model's own decide.

    Args:
        model: any model that gives probabilities.
        directory: the folder.
        part: only the recordings that training kept for this.
        record: how the model's own data were read and divided (`data.json`).
        progress: called with a file's name and the seconds of it that were just done.

    Returns measures over all frames (`accuracy`, `f1`, `auc`, `open_rate`, `realtime_factor`, ...;
    with one label its `false_alarm_rate` and `miss_rate` too, with labels that exclude each other
    the `confusion` table), for each label under `labels` (with its `events`), for each recording
    under `files`. Undefined ones are None: the AUC of a file that holds speech throughout, say.
    Seconds of recording per second of wall time, reading and resampling included, are the
    `realtime_factor`.

    Raises `InvalidConfig` for a linear head or a part that nobody wrote down, `InvalidInput` or
    `InvalidAudio` naming file and line for a folder that is not as described.
    """
    return listen(model, directory, part=part, record=record, progress=progress).figures


def count(
    model: Model, directory: Path | str, part: Part | None = None, record: DataRecord | None = None
) -> int:
    """How many recordings `evaluate` will go through. Raises `InvalidInput` and `InvalidConfig`."""
    folder = Path(directory)
    chosen = _chosen(record or DataRecord(), part)
    if chosen is not None:
        return len(chosen)
    if model.spec.kind is ModelKind.AUDIO:
        return len(audio_files(folder))
    return 0 if is_motion_folder(folder) else len(table_files(folder))


def listen(
    model: Model,
    directory: Path | str,
    *,
    part: Part | None = None,
    record: DataRecord | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """`evaluate`, and the frames behind its figures."""
    folder, spec, record = Path(directory), model.spec, record or DataRecord()
    if spec.head is Head.LINEAR:
        raise InvalidConfig(
            f"model {spec.name!r} has a linear head, expected one that gives probabilities: "
            "numbers have no labels to be measured against"
        )
    chosen = _chosen(record, part)
    if spec.kind is ModelKind.AUDIO:
        heard = list(_audio(model, folder, record, chosen, progress))
    elif is_motion_folder(folder):
        heard = list(_motion(model, folder, part or Part.VALID, progress))
    else:
        heard = list(_sensor(model, folder, record, chosen, progress))
    groups = {f.file: f.group for f in record.files}
    for one in heard:
        one.group = one.group or groups.get(one.name, "")
    about: Figures = {
        "model": spec.name,
        "version": spec.version,
        "threshold": spec.threshold,
        "frame_ms": 1000.0 / spec.frame_rate,
        "data": {
            "folder": folder.name,
            "part": part.value if part else "valid" if is_motion_folder(folder) else "all",
            "recordings": len(heard),
            "groups": len({h.group for h in heard if h.group}) or None,
        },
    }
    if len(spec.labels) == 1:
        about["label"] = spec.labels[0]
    figures = about | _together(spec, heard)
    figures["files"] = {h.name: _figures(spec, [h]) for h in heard}
    return Evaluation(figures, heard)


def _chosen(record: DataRecord, part: Part | None) -> set[str] | None:
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
            for block in audio.blocks(_BLOCK_SECONDS):
                results += stream.feed(block)
                if progress is not None:
                    progress(recording.name, len(block) / audio.sample_rate)
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
    probs = np.concatenate([r.probs for r in results])
    opened = np.concatenate([r.open_rates for r in results])
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


def _together(spec: ModelSpec, heard: list[Heard]) -> Figures:
    figures = _figures(spec, heard)
    if figures.get("frames"):
        known = np.concatenate([h.truth.known for h in heard])
        probs = np.concatenate([h.probs for h in heard])[known]
        truth = np.concatenate([h.truth.labels for h in heard])[known]
        figures["calibration"] = calibration(probs.ravel(), truth.ravel())
    return figures


def _figures(spec: ModelSpec, heard: list[Heard]) -> Figures:
    """Measures over all frames of some recordings."""
    probs = np.concatenate([h.probs for h in heard])
    truth = Truth(
        np.concatenate([h.truth.labels for h in heard]),
        np.concatenate([h.truth.known for h in heard]),
    )
    opened = np.concatenate([h.opened for h in heard])
    hidden = np.array([layer.hidden for layer in spec.layers], np.float64)
    each = opened @ (hidden / hidden.sum())  # [T]
    seconds, elapsed = sum(h.seconds for h in heard), sum(h.elapsed for h in heard)
    figures = frame_figures(spec, probs, truth) | {
        "open_rate": _mean(each),
        "open_rate_layers": opened.mean(axis=0, dtype=np.float64).tolist(),
    }
    if len(spec.labels) == 1:
        holds = truth.labels[:, 0]
        figures["open_rate_speech"] = _mean(each[holds])
        figures["open_rate_nonspeech"] = _mean(each[~holds])
    labels = label_figures(spec, probs, truth)
    for i, row in enumerate(labels.values()):
        row["open_rate"] = _mean(each[truth.labels[:, i] & truth.known])
    for label, match in _events(spec, heard).items():
        labels[label]["events"] = event_figures(match)
    return figures | {
        "seconds": round(seconds, 3),
        "realtime_factor": round(seconds / max(elapsed, 1e-9), 1),
        "labels": labels,
    }


def _events(spec: ModelSpec, heard: list[Heard]) -> dict[str, EventMatch]:
    total: dict[str, EventMatch] = {}
    late = _POINT_LATE if any(r.point for r in spec.events) else 0.0
    for one in heard:
        for label, match in match_events(spec, one.probs, one.segments, late).items():
            total.setdefault(label, EventMatch()).add(match)
    return total


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None
