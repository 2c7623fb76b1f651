"""`surnn quantise`: a smaller file of a model, measured beside it, written only if as good."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surnn.bench.machine import describe
from surnn.bench.timing import interleaved
from surnn.dataset.record import DataRecord, read_record
from surnn.dataset.split import Part
from surnn.errors import CorruptModel
from surnn.evaluate import listen
from surnn.evaluate_telemetry import evaluate_telemetry, forecasts
from surnn.export.int8 import SUFFIX, shrink
from surnn.model import Model, locate
from surnn.runtimes.onnx import OnnxRuntime

__all__ = ["FIGURES", "quantise"]

FIGURES = "int8.json"
_SHARES = ("accuracy", "forced_accuracy", "f1", "auc", "nab")
"""Measures that must not fall: shares, but NAB's score, which is in percent."""
_TITLES = {
    "bytes": "size of the file (bytes)",
    "us_per_frame": "CPU time of a frame (µs, ONNX Runtime, one thread)",
    "accuracy": "accuracy",
    "forced_accuracy": "accuracy with some word always named",
    "f1": "F1",
    "auc": "AUC",
    "nab": "NAB score",
    "false_per_hour": "false events per hour without words",
    "open_rate": "open rate",
}
_FRAMES = 100
_ROUNDS = 15

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a model made of the data."""

    measures: Figures
    data: Figures
    answers: list[NDArray[np.floating]]
    """Probabilities, or errors of forecasts, of each recording."""


def quantise(
    model: str | Path,
    data: Path,
    out: Path,
    *,
    part: Part | None = None,
    files: Sequence[str] = ("*",),
    tolerance: float = 0.005,
    rounds: int = _ROUNDS,
) -> Figures:
    """Shrink a model, measure both on the same recordings, and write the small one.

    Args:
        model: name of a shipped model, or a path.
        data: labelled recordings, or telemetry for a model that forecasts (as `surnn eval` wants
            them).
        out: gets model.onnx, int8.json and a card.
        part: only recordings that training kept for this.
        files: patterns of tables of telemetry.
        tolerance: how far accuracy (of words, where the model tells of words), F1, AUC and a
            hundredth of NAB's score may fall.
        rounds: of timing.

    Returns what was measured: `float32` and `int8`, each with size, speed and measures, and the
    difference of their answers. Raises `CorruptModel`, and writes nothing, when a measure falls by
    more than the tolerance.
    """
    path = locate(model)
    content = path.read_bytes()
    shrunk = shrink(content)
    record = read_record(path.parent)
    pair = {"float32": content, "int8": shrunk.content}
    models = {name: Model(OnnxRuntime(c)) for name, c in pair.items()}
    judged = {n: _judged(m, data, part, record, files) for n, m in models.items()}
    times = _times(models, rounds)
    rows: dict[str, Figures] = {
        name: {
            "bytes": len(pair[name]),
            "us_per_frame": round(times[name] / _FRAMES, 2),
            **judged[name].measures,
        }
        for name in pair
    }
    figures: Figures = {
        "model": models["int8"].spec.name,
        "of": models["float32"].spec.name,
        "version": models["int8"].spec.version,
        "data": judged["int8"].data,
        "machine": describe(),
        **rows,
        "largest_weight_error": shrunk.largest_error,
        "answers": _difference(judged["float32"], judged["int8"]),
    }
    for name in _SHARES:
        before, after = rows["float32"].get(name), rows["int8"].get(name)
        allowed = tolerance * (100.0 if name == "nab" else 1.0)
        if before is not None and after is not None and after < before - allowed:
            raise CorruptModel(
                f"{_TITLES[name]} falls from {before:.4f} to {after:.4f} with weights in 8 bits, "
                f"expected at most {allowed:g} less"
            )
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(shrunk.content)
    (out / FIGURES).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    (out / "README.md").write_text(_card(figures, models["int8"]), encoding="utf-8")
    return figures


def _judged(
    model: Model, data: Path, part: Part | None, record: DataRecord | None, files: Sequence[str]
) -> _Judged:
    answers: list[NDArray[np.floating]]
    if forecasts(model.spec):
        watched = evaluate_telemetry(model, data, files=files)
        figures, answers = watched.figures, [f.errors for f in watched.forecasts]
    else:
        heard = listen(model, data, part=part, record=record)
        figures, answers = heard.figures, [h.probs for h in heard.heard]
    about = figures["data"]
    assert isinstance(about, dict)
    words = figures.get("words")
    # Of words, frames by themselves say little.
    told = figures if words is None else words
    assert isinstance(told, dict)
    measures = {name: told[name] for name in _TITLES if name in told}
    measures["open_rate"] = figures["open_rate"]
    return _Judged(measures, about, answers)


def _times(models: dict[str, Model], rounds: int) -> dict[str, float]:
    """Median microseconds of CPU time for a chunk of 100 frames, models in turn."""
    work: dict[str, Callable[[], object]] = {}
    for name, model in models.items():
        spec = model.spec
        rng = np.random.default_rng(0)
        frames = (0.01 * rng.standard_normal((_FRAMES, spec.frame_size))).astype(np.float32)
        pool = model.runtime.new_pool(1)
        slot = pool.acquire()

        work[name] = partial(model.runtime.run, pool, [slot], [frames])
    return interleaved(work, rounds=rounds)


def _difference(one: _Judged, other: _Judged) -> dict[str, float]:
    apart = [np.abs(a - b) for a, b in zip(one.answers, other.answers, strict=True)]
    each = np.concatenate([a.ravel() for a in apart])
    return {
        "mean": float(each.mean()),
        "p99": float(np.percentile(each, 99)),
        "largest": float(each.max()),
    }


def _card(figures: dict[str, Any], model: Model) -> str:
    spec = model.spec
    about = figures["data"]
    rows = "\n".join(
        f"| {title} | {_shown(figures['float32'][key])} | {_shown(figures['int8'][key])} |"
        for key, title in _TITLES.items()
        if figures["float32"].get(key) is not None
    )
    answers = "Forecasts, in spreads of a channel," if forecasts(spec) else "Probabilities"
    return f"""# {spec.name}: `{spec.name.removesuffix(SUFFIX)}` in a smaller file

The same network with its weights stored in 8 bits (scales for each row) and the tables of its
front end in 16. They become floats again when the file is loaded, so it is smaller to ship, not
faster to run, and its switches carry closed neurons as exactly. There is no `model.safetensors`:
it runs on ONNX Runtime. Data, licences and limits are those of `{figures["of"]}`.

| `{about["folder"]}`, {about["part"]}, {about["recordings"]} recordings | float32 | int8 |
| --- | --- | --- |
{rows}

{answers} differ by {figures["answers"]["mean"]:.2g} in the mean,
{figures["answers"]["largest"]:.2g} at most. Measured by `surnn quantise`; `int8.json` holds
the figures and the machine.
"""


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if value < 2 else f"{value:.2f}"
    return "–" if value is None else f"{value:,}"
