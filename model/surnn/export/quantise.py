"""`surnn quantise`: a smaller file of a model, measured beside it, written only if as good."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from surnn.bench.machine import describe
from surnn.bench.timing import interleaved
from surnn.dataset.record import read_record
from surnn.dataset.split import Part
from surnn.errors import CorruptModel
from surnn.evaluate import Evaluation, listen
from surnn.export.int8 import SUFFIX, shrink
from surnn.model import Model, locate
from surnn.runtimes.onnx import OnnxRuntime

__all__ = ["FIGURES", "quantise"]

FIGURES = "int8.json"
_MEASURES = ("accuracy", "f1", "auc", "open_rate")
_FRAMES = 100
_ROUNDS = 15


def quantise(
    model: str | Path,
    data: Path,
    out: Path,
    *,
    part: Part | None = None,
    tolerance: float = 0.005,
    rounds: int = _ROUNDS,
) -> dict[str, Any]:
    """Shrink a model, measure both on the same recordings, and write the small one.

    Args:
        model: name of a shipped model, or a path.
        data: labelled recordings (see `surnn.evaluate`).
        out: gets model.onnx, int8.json and a card.
        part: only recordings that training kept for this.
        tolerance: how far accuracy, F1 and AUC may fall.
        rounds: of timing.

    Returns what was measured: `float32` and `int8`, each with size, speed and measures, and the
    difference of their probabilities. Raises `CorruptModel`, and writes nothing, when a measure
    falls by more than the tolerance.
    """
    path = locate(model)
    content = path.read_bytes()
    shrunk = shrink(content)
    record = read_record(path.parent)
    pair = {"float32": content, "int8": shrunk.content}
    models = {name: Model(OnnxRuntime(c)) for name, c in pair.items()}
    heard = {n: listen(m, data, part=part, record=record) for n, m in models.items()}
    times = _times(models, rounds)
    rows: dict[str, dict[str, Any]] = {
        name: {
            "bytes": len(pair[name]),
            "us_per_frame": round(times[name] / _FRAMES, 2),
            **{k: heard[name].figures.get(k) for k in _MEASURES},
        }
        for name in pair
    }
    figures: dict[str, Any] = {
        "model": models["int8"].spec.name,
        "of": models["float32"].spec.name,
        "version": models["int8"].spec.version,
        "data": heard["int8"].figures["data"],
        "machine": describe(),
        **rows,
        "largest_weight_error": shrunk.largest_error,
        "probabilities": _difference(heard["float32"], heard["int8"]),
    }
    for name in ("accuracy", "f1", "auc"):
        before, after = rows["float32"][name], rows["int8"][name]
        if before is not None and after is not None and after < before - tolerance:
            raise CorruptModel(
                f"{name} falls from {before:.4f} to {after:.4f} with weights in 8 bits, "
                f"expected at most {tolerance:g} less"
            )
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(shrunk.content)
    (out / FIGURES).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    (out / "README.md").write_text(_card(figures, models["int8"]), encoding="utf-8")
    return figures


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


def _difference(one: Evaluation, other: Evaluation) -> dict[str, float]:
    apart = [np.abs(a.probs - b.probs) for a, b in zip(one.heard, other.heard, strict=True)]
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
        f"| {label} | {_shown(figures['float32'][key])} | {_shown(figures['int8'][key])} |"
        for key, label in (
            ("bytes", "size of the file (bytes)"),
            ("us_per_frame", "CPU time of a frame (µs, ONNX Runtime, one thread)"),
            ("accuracy", "accuracy"),
            ("f1", "F1"),
            ("auc", "AUC"),
            ("open_rate", "open rate"),
        )
    )
    return f"""# {spec.name}: `{spec.name.removesuffix(SUFFIX)}` in a smaller file

The same network with its weights stored in 8 bits (scales for each row) and the tables of its
front end in 16. They become float32 again when the file is loaded, so it is smaller to ship, not
faster to run, and its switches carry closed neurons as exactly. There is no `model.safetensors`:
it runs on ONNX Runtime. Data, licences and limits are those of `{figures["of"]}`.

| `{about["folder"]}`, {about["part"]}, {about["recordings"]} recordings | float32 | int8 |
| --- | --- | --- |
{rows}

Probabilities differ by {figures["probabilities"]["mean"]:.2g} in the mean,
{figures["probabilities"]["largest"]:.2g} at most. Measured by `surnn quantise`; `int8.json` holds
the figures and the machine.
"""


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if value < 2 else f"{value:.2f}"
    return "–" if value is None else f"{value:,}"
