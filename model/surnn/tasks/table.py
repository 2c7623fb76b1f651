"""docs/results.md, written from the records so that no figure is typed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from surnn.bench.tables import table
from surnn.errors import InvalidConfig
from surnn.tasks.records import Record, read_records

__all__ = ["render", "write_table"]

_GROUPS = {
    "main": "Tasks",
    "ablation": "Ablation: what drives the switches",
    "hybrid": "Hybrids: layers of different cells",
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
    "seconds",
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
    page.write_text(render(records), encoding="utf-8")


def render(records: Sequence[Record]) -> str:
    """The page as Markdown."""
    parts = [
        "# Results",
        "Written by `surnn tasks table` from the JSON in `docs/data/tasks`; do not edit. One line "
        "is one run with one seed: differences of a few points between lines may be chance. "
        "*Test* sequences were measured once, after training, on the network that was best on "
        "validation sequences. *Open rate* is the share of neurons updated, on test sequences. "
        "*Seconds* are wall-clock time of training on the device named.",
    ]
    order = sorted(records, key=lambda r: (_group_rank(r.group), r.task, r.length, r.parameters))
    for group, members in groupby(order, key=lambda r: r.group):
        parts.append(f"## {_GROUPS.get(group, group)}")
        for (task, length), runs in groupby(members, key=lambda r: (r.task, r.length)):
            parts += _section(task, length, list(runs))
    return "\n\n".join(parts) + "\n"


def _group_rank(group: str) -> tuple[int, str]:
    names = list(_GROUPS)
    return (names.index(group) if group in names else len(names), group)


def _section(task: str, length: int, runs: list[Record]) -> list[str]:
    score = runs[0].score
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
        f"Figure: {score.metric}{aim}{chance}. {devices}.",
        table(["", *_HEAD], [[i, *_row(run)] for i, run in enumerate(runs, 1)]),
    ]
    return [*parts, *(["\n".join(notes)] if notes else []), commands]


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
        f"{run.seconds:,.0f}",
        run.seed,
    ]
