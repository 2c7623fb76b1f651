"""`surnn tasks ...`: train on the benchmark tasks, and tabulate what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from surnn_cli.errors import CommandError
from surnn_cli.torch import require_torch

__all__ = ["tasks"]

tasks = typer.Typer(
    help="Train cells on benchmark tasks: accuracy against sparsity.", no_args_is_help=True
)

DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder of the data sets, for tasks that need one.",
        envvar="SURNN_TASK_DATA",
    ),
]


@tasks.command("list")
def list_tasks() -> None:
    """Names of the tasks, and what they ask for."""
    require_torch("tasks")
    from surnn.tasks.registry import TASKS

    for name, entry in TASKS.items():
        typer.echo(f"{name:<18} {entry.about}")


@tasks.command("run")
def run(
    name: Annotated[str, typer.Argument(help="Which task: see `surnn tasks list`.")],
    cell: Annotated[
        str | None, typer.Option(help="Cells of the layers, with commas. [default: the task's]")
    ] = None,
    switch: Annotated[
        str | None, typer.Option(help="clock, input, clock+input or none (a dense network).")
    ] = None,
    hidden: Annotated[int | None, typer.Option(help="Neurons of each layer.", min=1)] = None,
    open_rate: Annotated[
        float | None, typer.Option(help="Share of open switches in the beginning.", min=0, max=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights and training sequences.")] = 1,
    settings: Annotated[str, typer.Option(help="fast (one core) or paper (a GPU).")] = "fast",
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting: optimiser.lr=1e-3. May be repeated."),
    ] = None,
    data: DataFolder = None,
    group: Annotated[str, typer.Option(help="Table: main, ablation or hybrid.")] = "main",
    note: Annotated[
        list[str] | None, typer.Option(help="A remark for the table. May be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the record to this file.")] = None,
    model_out: Annotated[
        Path | None, typer.Option(help="Write the trained model to this folder, to be served.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Go on from this file if it exists, and keep it written.")
    ] = None,
) -> None:
    """Train a network for a task, test it once, and write a record of the run."""
    require_torch("training")
    from surnn.spec import Cell, SwitchMode
    from surnn.tasks.registry import Settings
    from surnn.tasks.runner import RunOptions, run_task

    record = run_task(
        name,
        RunOptions(
            settings=_one_of(Settings, settings, "settings"),
            cells=tuple(_one_of(Cell, c, "cell") for c in cell.split(",")) if cell else (),
            switch=_one_of(SwitchMode, switch, "switch mode") if switch else None,
            hidden=hidden,
            open_rate=open_rate,
            changes=dict(_change(text) for text in change or []),
            seed=seed,
            data=data,
            group=group,
            notes=tuple(note or ()),
            checkpoint=checkpoint,
            out=out,
            model_out=model_out,
            command=_command(),
        ),
    )
    score = record.score
    typer.echo(f"{name}: {score.metric} {score.test:.4f}, open rate {record.open_rate:.3f}")


@tasks.command("table")
def table(
    records: Annotated[Path, typer.Argument(help="Folder of records.")] = Path("docs/data/tasks"),
    page: Annotated[Path, typer.Option(help="Page to write.")] = Path("docs/results.md"),
) -> None:
    """Write docs/results.md from the records of runs."""
    require_torch("the table of tasks")
    from surnn.tasks.table import write_table

    write_table(records, page)
    typer.echo(str(page))


def _one_of(kind: Any, text: str, what: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        names = ", ".join(member.value for member in kind)
        raise CommandError(f"{what} is {text!r}, expected one of {names}") from None


def _change(text: str) -> tuple[str, Any]:
    """`optimiser.lr=1e-3` as a name and a TOML value."""
    import tomllib

    name, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"--set {text!r}, expected name=value")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value  # a bare word


def _command() -> str:
    """What was typed, without where data and checkpoints lie: other places for everyone.

    A run that was cut off and resumed gives the same figures as one that was not.
    """
    import shlex
    import sys

    words, kept = sys.argv[1:], ["surnn"]
    while words:
        name, equals, _ = words[0].partition("=")
        word = words.pop(0)
        if name not in ("--data", "--checkpoint"):
            kept.append(word)
            continue
        if not equals:
            words.pop(0)
        if name == "--data":
            kept += ["--data", "DIR"]
    return shlex.join(kept)
