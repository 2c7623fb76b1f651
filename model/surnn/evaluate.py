"""Score a model against labelled recordings: what `surnn eval` prints.

A folder holds audio or sensor tables and their labels in any layout of `surnn.dataset`. Every
recording counts; one without segments holds none of the labels. The figures have one shape for all
models: measures over all frames on top, the same for each label under `labels` and for each
recording under `files`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surnn.dataset.audio import audio_files
from surnn.dataset.labelled import Truth
from surnn.dataset.motion import is_motion_folder
from surnn.dataset.record import DataRecord
from surnn.dataset.split import Part
from surnn.dataset.tables import table_files
from surnn.errors import InvalidConfig
from surnn.listening import Heard, Progress, chosen_names, hear
from surnn.measures import (
    POINT_LATE,
    EventMatch,
    calibration,
    event_figures,
    frame_figures,
    label_figures,
    match_events,
)
from surnn.model import Model
from surnn.spec import Head, ModelKind, ModelSpec
from surnn.spotting import spots, word_figures

__all__ = ["Evaluation", "audio_files", "count", "evaluate", "listen"]

Figures = dict[str, object]


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
    under `files`; of models that tell of moments also `words` (see `surnn.spotting`). Undefined
    ones are None: the AUC of a file that holds speech throughout, say.
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
    chosen = chosen_names(record or DataRecord(), part)
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
    heard = hear(model, folder, part=part, record=record, progress=progress)
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
    if spots(spec):
        figures["words"] = word_figures(spec, heard)
    figures["files"] = {h.name: _figures(spec, [h]) for h in heard}
    return Evaluation(figures, heard)


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
    late = POINT_LATE + max(r.smooth for r in spec.events) if spots(spec) else 0.0
    for one in heard:
        for label, match in match_events(spec, one.probs, one.segments, late).items():
            total.setdefault(label, EventMatch()).add(match)
    return total


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None
