"""Training: from folders of labelled recordings to a model that the server can run.

`train` does everything: mixes data, trains, validates, chooses thresholds, exports, plots, and
writes a model card. Needs the `torch` extra; nothing on the serving path imports this package.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from surnn import checkpoint
from surnn.dataset.record import DataRecord, write_record
from surnn.dataset.split import Part
from surnn.errors import InvalidConfig
from surnn.nn import Network
from surnn.train.config import Config, read_config
from surnn.train.loop import Fit, fit
from surnn.train.scalars import Scalars
from surnn.train.task import Report, Task
from surnn.train.tasks import make_task

__all__ = ["RUN", "train"]

RUN = "run.pt"
"""What an unfinished run goes on from, in its folder."""


def train(
    config_path: Path | str,
    data_root: Path | str | None,
    out_dir: Path | str,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    start: Path | str | None = None,
    seed: int | None = None,
    resume: bool = False,
    tensorboard: Path | str | None = None,
    progress: bool = True,
) -> Path:
    """Run a training config and write a complete model folder.

    Args:
        config_path: a TOML file (see `surnn.train.config`).
        data_root: folder of the data sets; None: the config's `data`.
        out_dir: made if missing; gets model.onnx, model.safetensors, spec.json, metrics.json,
            README.md (the model card) and PNG figures.
        minutes: instead of the config's training time.
        steps: instead of the config's number of steps.
        start: folder of a trained model to go on from (see `surnn.train.start`).
        seed: instead of the config's, for a second run that goes on with other clips.
        resume: go on with the run of this config that was cut off in `out_dir`, from its last
            validation; it ends as if it had not been cut off.
        tensorboard: folder for TensorBoard's event files (see `surnn.train.scalars`).
        progress: show a progress bar on stderr.

    Returns `out_dir`. Raises `InvalidConfig`, `InvalidInput` or `InvalidAudio` on bad configs and
    data, `SurnnError` when training diverges, `MissingDependency` for TensorBoard's folder without
    TensorBoard.
    """
    path, out = Path(config_path), Path(out_dir)
    config = read_config(path)
    if minutes is not None:
        if minutes <= 0:
            raise InvalidConfig(f"minutes is {minutes:g}, expected more than 0")
        budget = config.budget.model_copy(update={"minutes": minutes})
        config = config.model_copy(update={"budget": budget})
    if steps is not None:
        budget = config.budget.model_copy(update={"steps": steps})
        config = config.model_copy(update={"budget": budget})
    if seed is not None:
        config = config.model_copy(update={"seed": seed})
    root = data_root if data_root is not None else config.data
    if root is None:
        raise InvalidConfig(f"{path}: no data folder: give one, or set `data` in the config")
    # A folder named in the config is looked for beside it.
    root = Path(root) if data_root is not None else path.parent / root
    run = out / RUN
    if resume and not run.is_file():
        raise InvalidConfig(f"no file {run}: no run was cut off there behind a validation")
    board = None if tensorboard is None else Scalars(Path(tensorboard))
    task = make_task(config, root)
    out.mkdir(parents=True, exist_ok=True)
    if not resume:
        run.unlink(missing_ok=True)

    def keep(network: Network, report: Report) -> None:
        _finish(task, network, report)
        checkpoint.save(network, out)

    begin = None if start is None else Path(start)
    found = fit(task, config, progress=progress, keep=keep, resume=run, start=begin, scalars=board)
    if board is not None:
        board.close()
    report = task.validate(found.network, final=True)
    found.report = report
    _finish(task, found.network, report)
    network = found.network
    figures = _figures(config, task, found)
    record = task.record()
    given = {"minutes": minutes, "steps": steps, "start": begin and begin.name, "seed": seed}
    network.spec = network.spec.model_copy(
        update={
            "metrics": report.figures.get("main", {}),
            "training": {
                "config": path.name,
                "seed": config.seed,
                "options": [f"--{k} {v}" for k, v in given.items() if v is not None],
                "steps": len(found.history.steps),
                "minutes": round(found.history.seconds / 60.0, 1),
                "data": task.licences(),
            },
        }
    )
    checkpoint.save(network, out)
    if record is not None:
        write_record(record, out)
    _publish(path, config, found, figures, record, root, out)
    run.unlink(missing_ok=True)
    return out


def _publish(
    path: Path,
    config: Config,
    found: Fit,
    figures: dict[str, object],
    record: DataRecord | None,
    root: Path,
    out: Path,
) -> None:
    """Everything that is made from a trained network."""
    # Imported here: export needs onnx, plots need matplotlib, and neither is needed to train.
    from surnn.evaluate import listen
    from surnn.export import export
    from surnn.model import load
    from surnn.train.card import write_card
    from surnn.train.measure import speed
    from surnn.train.plots import write_plots
    from surnn.train.report import write_report

    export(found.network, out)
    evaluation = None
    if record is not None:
        # What the report and the card show was measured as a server would run it, once, on
        # recordings that nothing was chosen by.
        part = Part.TEST if record.names(Part.TEST) else Part.VALID
        evaluation = listen(load(out), root, part=part, record=record)
        figures[part.value] = evaluation.figures
    figures["speed"] = speed(load(out))
    (out / "metrics.json").write_text(json.dumps(figures, indent=2) + "\n")
    images = write_plots(found, out)
    write_card(path, config, found.network.spec, figures, images, out)
    write_report(path, config, found, figures, evaluation, record, out)


def _finish(task: Task, network: Network, report: Report) -> None:
    network.spec = task.finished_spec(network, report)


def _figures(config: Config, task: Task, found: Fit) -> dict[str, object]:
    history = found.history
    return found.report.figures | {
        "training": {
            "steps": len(history.steps),
            "clips": history.clips,
            "hours_of_audio": round(history.clips * config.budget.seconds / 3600.0, 2),
            "minutes": round(history.seconds / 60.0, 2),
            "final_loss": sum(history.loss[-50:]) / max(len(history.loss[-50:]), 1),
            "parameters": sum(p.numel() for p in found.network.parameters()),
            "finished": time.strftime("%Y-%m-%d", time.gmtime()),
        },
        "data": task.licences(),
    }
