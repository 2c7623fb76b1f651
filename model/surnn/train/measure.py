"""A trained model measured again: threshold, figures and card anew, the weights as they are."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from surnn import checkpoint
from surnn.errors import InvalidConfig, UnknownModel
from surnn.model import Model, load
from surnn.train.config import read_config
from surnn.train.loop import Fit, History
from surnn.train.tasks import make_task

__all__ = ["measure", "speed"]

_SPEED_SECONDS = 60.0
_SPEED_FRAMES = 500
"""At least so many: a sensor has few frames a second."""


def measure(config_path: Path | str, data_root: Path | str, folder: Path | str) -> Path:
    """Validate a trained model on the held-out sets of its config, and test it.

    Writes model.onnx, spec.json, metrics.json, the plots and the card again.

    Raises what `surnn.train.train` raises, and `UnknownModel` when the folder holds no trained
    model.
    """
    # Imported here: export needs onnx, plots need matplotlib.
    from surnn.export import export
    from surnn.train.card import FIGURES, write_card
    from surnn.train.plots import write_plots

    path, out = Path(config_path), Path(folder)
    config = read_config(path)
    if not (out / "metrics.json").is_file():
        raise UnknownModel(f"{out} holds no metrics.json")
    before = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    network = checkpoint.load(out)
    if (network.spec.labels, network.spec.hop) != (config.model.labels, config.model.hop):
        raise InvalidConfig(f"{path} is not the config of the model in {out}")
    training = network.spec.training
    task = make_task(config, Path(data_root))
    report = task.validate(network, final=True)
    network.spec = task.finished_spec(network, report).model_copy(
        update={"metrics": report.figures.get("main", {}), "training": training}
    )
    checkpoint.save(network, out)
    export(network, out)
    figures = report.figures | {"training": before["training"], "data": task.licences()}
    figures["speed"] = speed(load(out))
    (out / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    write_plots(Fit(network, report, History()), out)
    images = {title: name for title, name in FIGURES.items() if (out / name).is_file()}
    write_card(path, config, network.spec, figures, images, out)
    return out


def speed(model: Model) -> dict[str, Any]:
    """Seconds of quiet noise that a second of CPU time of one thread answers, as a stream."""
    spec = model.spec
    frames = max(round(_SPEED_SECONDS * spec.frame_rate), _SPEED_FRAMES)
    rng = np.random.default_rng(0)
    noise = (0.01 * rng.standard_normal((frames, spec.frame_size))).astype(np.float32)
    samples = noise.reshape(-1) if spec.channels == 1 and spec.hop > 1 else noise
    size = spec.hop * 10 if samples.ndim == 1 else 10
    with model.stream() as stream:
        stream.feed(samples[:size])  # the first call may compile
        began = time.process_time()
        for at in range(size, len(samples), size):
            stream.feed(samples[at : at + size])
        spent = time.process_time() - began
    seconds = (len(samples) - size) / (len(samples) / frames) / spec.frame_rate
    return {"runtime": model.runtime.name, "realtime_factor": round(seconds / spent, 1)}
