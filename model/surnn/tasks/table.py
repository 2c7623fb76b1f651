"""docs/results.md, written from the records so that no figure is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

from surnn.bench.tables import table
from surnn.errors import InvalidConfig
from surnn.tasks.records import Record, read_records
from surnn.tasks.registry import TASKS

__all__ = ["render", "write_table"]

_GROUPS = {
    "main": "Tasks",
    "ablation": "Ablation: what drives the switches",
    "hybrid": "Hybrids: layers of different cells",
    "memory": "Memory: recall against the length of silence",
}
_HEAD = [
    "cells",
    "switches",
    "test",
    "aim reached",
    "open rate",
    "dead / always open",
    "parameters",
    "steps",
    "seconds (CPU)",
    "seed",
]


def write_table(folder: Path, page: Path) -> None:
    """Write the page from all records of a folder. Raises `InvalidConfig` when there are none."""
    records = read_records(folder)
    if not records:
        raise InvalidConfig(
            f"{folder} holds no records, expected JSON files of `surnn tasks run ... --out`"
        )
    page.parent.mkdir(parents=True, exist_ok=True)
    images = {}
    for task in sorted({run.task for run in records if run.recall}):
        # Imported here: matplotlib is needed for the figures alone.
        from surnn.tasks.plots import plot_recall

        images[task] = f"{page.stem}-{task}.png"
        plot_recall(
            [run for run in records if run.task == task and run.recall],
            page.parent / images[task],
        )
    page.write_text(render(records, images), encoding="utf-8")


def render(records: Sequence[Record], images: Mapping[str, str] = MappingProxyType({})) -> str:
    """The page as Markdown; `images` names a figure for some of the tasks."""
    parts = [
        "# Results",
        "Written by `surnn tasks table` from the JSON in `docs/data/tasks`; do not edit. One line "
        "is one run with one seed: differences of a few points between lines may be chance. "
        "*Test* sequences were measured once, after training, on the network that was best on "
        "validation sequences. *Open rate* is the share of neurons updated, on test sequences; "
        "of soft switches the mean of their gates, though every neuron moves in every frame. "
        "*Seconds* are of training, with its validations, on the device named: by the wall clock, "
        "and of processor time, which says more where a machine was shared.",
        "Images and recordings are not part of this repository: `--data DIR` names a folder with "
        "MNIST's four IDX files in `mnist` and, in `kws_fsdd`, the Free Spoken Digit Dataset as "
        "`surnn.tasks.spoken_digits` describes it. All else is generated.",
    ]
    run = {record.task for record in records if record.group in ("main", "memory")}
    if missing := [name for name in TASKS if name not in run]:
        parts.append(f"**No run at full size is recorded of {', '.join(missing)}.**")
    order = sorted(records, key=lambda r: (_group_rank(r.group), r.task, r.length, r.parameters))
    for group, members in groupby(order, key=lambda r: r.group):
        parts.append(f"## {_GROUPS.get(group, group)}")
        for (task, length), runs in groupby(members, key=lambda r: (r.task, r.length)):
            members_here = list(runs)
            parts += _section(task, length, members_here)
            if any(run.recall for run in members_here):
                parts += [_recall(members_here), *_image(images, task)]
    return "\n\n".join(parts) + "\n"


def _group_rank(group: str) -> tuple[int, str]:
    names = list(_GROUPS)
    return (names.index(group) if group in names else len(names), group)


def _section(task: str, length: int, runs: list[Record]) -> list[str]:
    score = runs[0].score
    about = f"{TASKS[task].about}. " if task in TASKS else ""
    aim = ""
    if score.aim is not None:
        aim = f", aim {'at least' if score.higher_is_better else 'below'} {score.aim:g}"
    chance = f", chance {score.chance:.3g}" if score.chance is not None else ""
    runs.sort(key=lambda r: -r.score.test if score.higher_is_better else r.score.test)
    commands = "\n".join(f"{i}. `{run.command}`" for i, run in enumerate(runs, 1))
    devices = ", ".join(sorted({f"{run.device} ({run.machine.get('cpu', '?')})" for run in runs}))
    notes = [f"- Line {i}: {note}" for i, run in enumerate(runs, 1) for note in run.notes]
    parts = [
        f"### {task}, T = {length}",
        f"{about}Figure: {score.metric}{aim}{chance}. {devices}.",
        table(["", *_HEAD], [[i, *_row(run)] for i, run in enumerate(runs, 1)]),
    ]
    return [*parts, *(["\n".join(notes)] if notes else []), commands]


def _image(images: Mapping[str, str], task: str) -> list[str]:
    return [f"![Recall and exact carry against the length of silence]({images[task]})"] * (
        task in images
    )


def _recall(runs: Sequence[Record]) -> str:
    """Accuracy, and behind it the share of neurons whose state was carried bit for bit."""
    runs = [run for run in runs if run.recall]
    lengths = [f"{point.seconds:g} s" for point in runs[0].recall]
    rows: list[list[object]] = []
    for run in runs:
        points = [f"{p.accuracy:.3f} ({p.carried:.0%})" for p in run.recall]
        rows.append([" + ".join(layer.cell for layer in run.layers), *points])
    about = "Accuracy after so much silence, and the share of neurons carried bit for bit:"
    return f"{about}\n\n" + table(["cells", *lengths], rows)


def _row(run: Record) -> list[object]:
    layers = run.layers
    health = [f"{s.dead} / {s.always_open}" if s.dead is not None else "-" for s in layers]
    reached = {None: "-", True: "yes", False: "**no**"}[run.score.reached]
    return [
        " + ".join(f"{s.cell} {s.hidden}" for s in layers),
        " + ".join(s.switch for s in layers),
        f"{run.score.test:.4f}",
        reached,
        f"{run.open_rate:.3f}",
        " + ".join(health),
        f"{run.parameters:,}",
        f"{run.steps:,}",
        f"{run.seconds:,.0f} ({run.cpu_seconds:,.0f})",
        run.seed,
    ]
