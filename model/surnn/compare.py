"""A voice-activity model beside other detectors, on the same recordings: `surnn eval --peers`.

All are measured by the same code: frames against a threshold, events by the rules of
`surnn.events`. The model decides as it was made to. Other detectors decide as their documentation
suggests, or as chosen on recordings that are given for it (`tune`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from surnn.bench.detectors import HOP, RATE, Detector, detectors
from surnn.dataset.labelled import Truth
from surnn.dataset.record import DataRecord
from surnn.dataset.split import Part
from surnn.errors import InvalidConfig
from surnn.evaluate import listen
from surnn.listening import Heard, Progress
from surnn.measures import EventMatch, calibration, event_figures, frame_figures, match_events
from surnn.model import Model
from surnn.spec import EventRule, ModelKind, ModelSpec
from surnn.tuning import Stream, choose_rule, choose_threshold
from surnn.types import Float32

__all__ = ["compare", "fields_of", "streams_of"]

Figures = dict[str, object]
_WAITS = (0.0, 0.03, 0.06, 0.1)
"""Seconds that a peer's events may have to hold, beyond its own delay."""


@dataclass(slots=True)
class _Entry:
    """One detector and what it made of all recordings."""

    name: str
    about: Figures
    spec: ModelSpec
    heard: list[Heard]
    events: list[EventMatch]
    """Of each recording."""


def compare(
    model: Model,
    directory: Path | str,
    *,
    tune: Path | str | None = None,
    part: Part | None = None,
    record: DataRecord | None = None,
    progress: Progress | None = None,
) -> Figures:
    """Measure a model and every other detector that is installed on a folder of recordings.

    Args:
        model: with one label, `speech`, 16000 samples and 100 frames per second.
        directory: as for `surnn.evaluate.evaluate`. Where its table says more of the recordings
            (in columns of its own), each value is measured by itself too, under `by`.
        tune: a folder of other recordings, by which the peers' thresholds and rules are chosen.
        part, record, progress: as for `evaluate`.

    Returns figures under `detectors`, the model first. Raises what `evaluate` raises,
    `InvalidConfig` for a model of another kind, `MissingDependency` when no peer is installed.
    """
    spec = model.spec
    if spec.kind is not ModelKind.AUDIO or spec.labels != ("speech",):
        raise InvalidConfig(
            f"model {spec.name!r} has labels {list(spec.labels)}, expected 'speech' alone: "
            "the other detectors know nothing else"
        )
    if (spec.sample_rate, spec.hop) != (RATE, HOP):
        raise InvalidConfig(
            f"model {spec.name!r} hears {spec.sample_rate} samples per second in frames of "
            f"{spec.hop}, expected {RATE} and {HOP}, as the other detectors"
        )
    peers = detectors()
    found = listen(model, directory, part=part, record=record, progress=progress)
    own = _entry(spec, found.heard)
    tuned = None if tune is None else listen(model, tune).heard
    entries = [own, *(_peer(peer, spec, found.heard, tuned) for peer in peers)]
    about = {k: found.figures[k] for k in ("frame_ms", "data")}
    return about | {
        "thresholds_of_peers": "as documented" if tune is None else f"chosen on {Path(tune).name}",
        "detectors": {e.name: e.about | _described(e.spec) | _measured(e) for e in entries},
    }


def fields_of(heard: Iterable[Heard]) -> dict[str, list[str]]:
    """What the table says of recordings, beyond the speaker: column → its values, in order."""
    found: dict[str, dict[str, None]] = {}
    for one in heard:
        for column, value in one.fields.items():
            if value and column != "speaker":
                found.setdefault(column, {})[value] = None
    return {column: list(values) for column, values in found.items()}


def streams_of(heard: Iterable[Heard]) -> list[Stream]:
    """What thresholds are chosen by."""
    return [Stream(h.probs, h.truth.labels[:, 0], h.segments) for h in heard]


def _peer(peer: Detector, like: ModelSpec, heard: list[Heard], tuned: list[Heard] | None) -> _Entry:
    """A peer on the recordings that the model heard."""
    rule = EventRule(
        label="speech",
        on=peer.threshold,
        off=max(0.0, peer.threshold - 0.15),
        min_on=peer.min_on,
        min_off=like.events[0].min_off if like.events else 0.3,
    )
    spec = like.model_copy(
        update={
            "name": peer.name,
            "version": peer.version,
            "threshold": peer.threshold,
            "lookahead": 0,
            "events": (rule,),
        }
    )
    if tuned is not None:
        streams = streams_of(_hear(peer.scores, h) for h in tuned)
        waits = [round(peer.min_on + wait, 2) for wait in _WAITS]
        chosen = choose_rule(spec, streams, min_on=waits, min_off=rule.min_off)
        spec = spec.model_copy(update={"threshold": choose_threshold(streams), "events": (chosen,)})
    return _entry(spec, [_hear(peer.scores, h) for h in heard])


def _entry(spec: ModelSpec, heard: list[Heard]) -> _Entry:
    events = [match_events(spec, h.probs, h.segments).get("speech", EventMatch()) for h in heard]
    return _Entry(spec.name, {"version": spec.version}, spec, heard, events)


def _hear(scores: Callable[[np.ndarray], Float32], heard: Heard) -> Heard:
    assert heard.path is not None
    began = time.perf_counter()
    samples, rate = soundfile.read(heard.path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    if rate != RATE:
        mono = soxr.resample(mono, rate, RATE)
    pcm = np.clip(np.round(mono * 32768.0), -32768, 32767).astype(np.int16)
    found = scores(pcm)[:, None]
    elapsed = time.perf_counter() - began
    frames = len(heard.probs)
    if len(found) < frames:
        found = np.concatenate([found, np.repeat(found[-1:], frames - len(found), axis=0)])
    none = np.zeros((frames, 0), np.float32)
    return Heard(
        heard.name,
        heard.path,
        heard.segments,
        found[:frames],
        none,
        heard.truth,
        heard.seconds,
        elapsed,
        heard.group,
        heard.fields,
    )


def _described(spec: ModelSpec) -> Figures:
    rules = [r.model_dump(exclude={"label", "point"}) for r in spec.events]
    return {"threshold": spec.threshold, "rule": rules[0] if rules else None}


def _measured(entry: _Entry) -> Figures:
    every = range(len(entry.heard))
    by = {
        column: {
            value: _figures(entry, [i for i in every if entry.heard[i].fields.get(column) == value])
            for value in values
        }
        for column, values in fields_of(entry.heard).items()
    }
    return {"all": _figures(entry, every), "by": by}


def _figures(entry: _Entry, chosen: Sequence[int]) -> Figures:
    """Frames, events and open rate of some recordings."""
    spec, heard = entry.spec, [entry.heard[i] for i in chosen]
    probs = np.concatenate([h.probs for h in heard])
    truth = Truth(
        np.concatenate([h.truth.labels for h in heard]),
        np.concatenate([h.truth.known for h in heard]),
    )
    total = EventMatch()
    for i in chosen:
        total.add(entry.events[i])
    figures = frame_figures(spec, probs, truth) | {
        "ece": calibration(probs[truth.known].ravel(), truth.labels[truth.known].ravel())["ece"],
        "events": event_figures(total),
    }
    opened = np.concatenate([h.opened for h in heard])
    if opened.shape[1]:
        hidden = np.array([layer.hidden for layer in spec.layers], np.float64)
        figures["open_rate"] = float((opened @ (hidden / hidden.sum())).mean())
    seconds, elapsed = sum(h.seconds for h in heard), sum(h.elapsed for h in heard)
    return figures | {
        "seconds": round(seconds, 1),
        "realtime_factor": round(seconds / max(elapsed, 1e-9), 1),
    }
