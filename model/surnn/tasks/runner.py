"""One run from settings to record: train, choose by validation, test once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from surnn import checkpoint
from surnn.bench.machine import describe
from surnn.cells import CELLS
from surnn.errors import InvalidConfig
from surnn.nn import Network
from surnn.spec import Cell, LayerSpec, SwitchMode, SwitchSpec
from surnn.tasks.benchmark import Benchmark, Split
from surnn.tasks.config import TaskConfig, with_settings
from surnn.tasks.measure import Measured
from surnn.tasks.records import Layer, Recall, Record, Score, write_record
from surnn.tasks.registry import Settings, task_entry
from surnn.train.loop import Fit, fit
from surnn.train.switching import switch_health

__all__ = ["RunOptions", "build_config", "run_task"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What is asked of a run; None leaves what the settings say."""

    settings: Settings = Settings.FAST
    cells: tuple[Cell, ...] = ()
    """One for each layer."""
    switch: SwitchMode | None = None
    hidden: int | None = None
    open_rate: float | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    """Further settings by name, such as `optimiser.lr`."""
    seed: int = 1
    data: Path | None = None
    group: str = "main"
    notes: tuple[str, ...] = ()
    checkpoint: Path | None = None
    """Resume from this file, and write it."""
    out: Path | None = None
    """File for the record."""
    model_out: Path | None = None
    """Folder for the trained model, with its ONNX file."""
    command: str = ""
    """For the record."""
    progress: bool = True


def run_task(name: str, options: RunOptions) -> Record:
    """Train a network for a task and measure it once on the test sequences.

    Raises `InvalidConfig` on bad settings and `SurnnError` when training diverges.
    """
    config = build_config(name, options)
    if options.model_out is not None and config.switches.soft:
        raise InvalidConfig("soft switches cannot be served, expected no folder for a model")
    task = task_entry(name).make(config, options.data)
    cpu = time.process_time()
    found = fit(task, config, progress=options.progress, resume=options.checkpoint)
    cpu = time.process_time() - cpu
    tested = task.measure(found.network, Split.TEST)
    record = _record(name, task, config, found, tested, cpu, options)
    if options.out is not None:
        write_record(options.out, record)
    if options.model_out is not None:
        _publish(found.network, config, tested, options.model_out)
    return record


def build_config(name: str, options: RunOptions) -> TaskConfig:
    """The settings of a run. Raises `InvalidConfig`."""
    config = task_entry(name).settings[options.settings]()
    layers = _layers(config.layers, options)
    config = config.model_copy(update={"layers": layers, "seed": options.seed})
    config = with_settings(config, options.changes)
    every = config.switches.every
    if every is not None:
        # Such switches are a clock of one period (see `Switch.open_every`).
        clock = SwitchSpec(mode=SwitchMode.CLOCK, frequencies=1, min_period=every, max_period=every)
        layers = tuple(s.model_copy(update={"switch": clock}) for s in config.layers)
        config = config.model_copy(update={"layers": layers})
    return config


def _layers(layers: Sequence[LayerSpec], options: RunOptions) -> tuple[LayerSpec, ...]:
    cells = options.cells or tuple(layer.cell for layer in layers)
    found = []
    for i, cell in enumerate(cells):
        old = layers[min(i, len(layers) - 1)]
        hidden = options.hidden or old.hidden
        if not CELLS[cell].switched:
            found.append(LayerSpec(cell=cell, hidden=hidden))
            continue
        changes: dict[str, Any] = {}
        if options.switch is not None:
            changes["mode"] = options.switch
        if options.open_rate is not None:
            changes["open_rate"] = options.open_rate
        switch = SwitchSpec.model_validate(old.switch.model_dump() | changes)
        found.append(LayerSpec(cell=cell, hidden=hidden, switch=switch))
    return tuple(found)


def _publish(network: Network, config: TaskConfig, tested: Measured, out: Path) -> None:
    # Imported here: export needs onnx, and a run without a model folder does not.
    from surnn.export import export

    network.to("cpu")
    network.spec = network.spec.model_copy(
        update={
            "metrics": {"test": tested.value, "open_rate": tested.open_rate},
            "training": {"seed": config.seed, "steps": config.budget.steps},
        }
    )
    checkpoint.save(network, out)
    export(network, out)


def _record(
    name: str,
    task: Benchmark[Any],
    config: TaskConfig,
    found: Fit,
    tested: Measured,
    cpu_seconds: float,
    options: RunOptions,
) -> Record:
    metric = task.metric
    health = switch_health(task.spec.layers, tested.rates)[0]
    layers = tuple(
        Layer(
            cell=spec.cell.value,
            hidden=spec.hidden,
            switch=_switch_name(spec, config),
            open_rate=round(rate, 5),
            dead=h.dead if h else None,
            always_open=h.always_open if h else None,
        )
        for spec, rate, h in zip(task.spec.layers, tested.layer_rates, health, strict=True)
    )
    valid = found.report.score if metric.higher_is_better else -found.report.score
    cuda = config.budget.device == "cuda"
    return Record(
        task=name,
        group=options.group,
        settings=options.settings.value,
        length=config.length,
        layers=layers,
        parameters=sum(p.numel() for p in found.network.parameters()),
        seed=config.seed,
        steps=len(found.history.steps),
        seconds=round(found.history.seconds, 1),
        cpu_seconds=round(cpu_seconds, 1),
        score=Score(
            metric=metric.name,
            higher_is_better=metric.higher_is_better,
            test=tested.value,
            valid=valid,
            aim=metric.aim,
            reached=metric.reached(tested.value),
            chance=metric.chance,
        ),
        open_rate=round(tested.open_rate, 5),
        recall=tuple(
            Recall(seconds=p.seconds, accuracy=round(p.accuracy, 5), carried=round(p.carried, 5))
            for p in task.remembered(found.network)
        ),
        device=torch.cuda.get_device_name() if cuda else "CPU, 1 core",
        command=options.command,
        notes=options.notes,
        config=config.model_dump(mode="json"),
        machine=describe(),
    )


def _switch_name(layer: LayerSpec, config: TaskConfig) -> str:
    mode, how = layer.switch.mode, config.switches
    if mode is SwitchMode.NONE:
        return "none"
    if how.every is not None:
        return f"every {how.every}"
    words = [word for word, on in (("frozen", how.frozen), ("soft", how.soft)) if on]
    return " ".join([mode.value, *words])
