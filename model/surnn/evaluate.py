"""Score a model against labelled recordings: what `surnn eval` prints.

A folder holds audio, at any depth and of any rate, and `segments.csv` (see `surnn.segments`).
Every audio file counts; one without rows holds none of the label.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from surnn.audiofile import AudioFile
from surnn.errors import InvalidConfig, InvalidInput
from surnn.metrics import detection
from surnn.model import Model
from surnn.segments import Segment, check_segments, frame_labels, read_segments
from surnn.spec import Head, ModelKind, ModelSpec
from surnn.types import ChunkResult, Float32

__all__ = ["TABLE", "audio_files", "evaluate"]

TABLE = "segments.csv"
_BLOCK_SECONDS = 10.0

Figures = dict[str, object]


@dataclass(slots=True)
class _Heard:
    """What a model made of some recordings. Per frame: a score, the truth and each layer."""

    scores: Float32
    """[T]"""
    truth: NDArray[np.bool_]
    """[T]"""
    opened: Float32
    """Share of open neurons [T, L]."""
    seconds: float
    """Length of the recordings."""
    elapsed: float
    """Seconds of reading, resampling and computing."""


def evaluate(
    model: Model,
    directory: Path | str,
    *,
    progress: Callable[[str, float], None] | None = None,
) -> Figures:
    """Measure a model frame by frame on a folder of labelled audio.

    Files are streamed one after another; a few bytes a frame are kept until the end, for the AUC.

    Args:
        model: an audio model with one label.
        directory: the folder.
        progress: called with a file's name and the seconds of it that were just done.

    Returns measures over all frames (`accuracy`, `f1`, `auc`, `false_alarm_rate`, `miss_rate`,
    `open_rate`, `open_rate_layers`, `open_rate_speech`, `open_rate_nonspeech`,
    `realtime_factor`, ...) and the same for each file under `files`. Undefined ones are None: the
    AUC of a file that holds speech throughout, say. Audio per second of wall time, reading and
    resampling included, is the `realtime_factor`.

    Raises `InvalidConfig` for a model of another kind, `InvalidInput` or `InvalidAudio` naming
    file and line for a folder that is not as described.
    """
    folder = Path(directory)
    label = _label(model.spec)
    names = audio_files(folder)
    table = folder / TABLE
    segments = read_segments(table)
    check_segments(table, segments, _durations(folder, segments.keys() & set(names)))
    if segments and not any(s.label == label for rows in segments.values() for s in rows):
        seen = sorted({s.label for rows in segments.values() for s in rows})
        raise InvalidInput(f"{table}: labels are {seen}, expected {label!r} among them")

    heard, files = [], {}
    for name in names:
        one = _listen(model, folder / name, name, segments.get(name, ()), label, progress)
        files[name] = _figures(model.spec, one)
        heard.append(one)
    together = _Heard(
        np.concatenate([h.scores for h in heard]),
        np.concatenate([h.truth for h in heard]),
        np.concatenate([h.opened for h in heard]),
        sum(h.seconds for h in heard),
        sum(h.elapsed for h in heard),
    )
    spec = model.spec
    about: Figures = {
        "model": spec.name,
        "version": spec.version,
        "label": label,
        "threshold": spec.threshold,
        "frame_ms": 1000.0 / spec.frame_rate,
    }
    return about | _figures(spec, together) | {"files": files}


def audio_files(folder: Path) -> list[str]:
    """Names of all audio files in a folder and its subfolders, relative to it, in order.

    Raises `InvalidInput` when there is no folder, or no audio in it.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is not a folder, expected one with audio and {TABLE}")
    endings = {f".{name.lower()}" for name in soundfile.available_formats()}
    endings = (endings | {".aif", ".aifc", ".opus", ".oga"}) - {".raw"}
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in endings and not path.name.startswith(".") and path.is_file()
    )
    if not names:
        raise InvalidInput(f"{folder} holds no audio, expected WAV, FLAC, Ogg or MP3 files")
    return names


def _label(spec: ModelSpec) -> str:
    if spec.kind is not ModelKind.AUDIO or len(spec.labels) != 1 or spec.head is Head.LINEAR:
        raise InvalidConfig(
            f"model {spec.name!r} is a {spec.kind.value} model with labels {list(spec.labels)} "
            f"and a {spec.head.value} head, expected an audio model with one label and its "
            "probability: others cannot be evaluated on a folder yet"
        )
    return spec.labels[0]


def _durations(folder: Path, names: Iterable[str]) -> dict[str, float]:
    found = {}
    for name in names:
        with AudioFile(folder / name, name) as audio:
            found[name] = audio.frames / audio.sample_rate
    return found


def _listen(
    model: Model,
    path: Path,
    name: str,
    segments: Iterable[Segment],
    label: str,
    progress: Callable[[str, float], None] | None,
) -> _Heard:
    """Stream one file through the model."""
    results: list[ChunkResult] = []
    began = time.perf_counter()
    with (
        AudioFile(path, name) as audio,
        model.stream(sample_rate=audio.sample_rate, channels=audio.channels) as stream,
    ):
        seconds = audio.frames / audio.sample_rate
        for block in audio.blocks(_BLOCK_SECONDS):
            results += stream.feed(block)
            if progress is not None:
                progress(name, len(block) / audio.sample_rate)
        results += stream.finish()[0]
    elapsed = time.perf_counter() - began
    scores = np.concatenate([r.probs[:, 0] for r in results])
    opened = np.concatenate([r.open_rates for r in results])
    truth = frame_labels(segments, label, len(scores), model.spec.frame_rate)
    return _Heard(scores, truth, opened, seconds, elapsed)


def _figures(spec: ModelSpec, heard: _Heard) -> Figures:
    hidden = np.array([layer.hidden for layer in spec.layers], np.float64)
    each = heard.opened @ (hidden / hidden.sum())  # [T]
    figures: Figures = dict(detection(heard.scores, heard.truth, spec.threshold).as_dict())
    return figures | {
        "open_rate": _mean(each),
        "open_rate_layers": heard.opened.mean(axis=0, dtype=np.float64).tolist(),
        "open_rate_speech": _mean(each[heard.truth]),
        "open_rate_nonspeech": _mean(each[~heard.truth]),
        "seconds": round(heard.seconds, 3),
        "realtime_factor": round(heard.seconds / max(heard.elapsed, 1e-9), 1),
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None
