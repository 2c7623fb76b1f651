"""`surnn eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["evaluate"]

_PERCENT = (
    "accuracy",
    "f1",
    "auc",
    "false_alarm_rate",
    "miss_rate",
    "open_rate",
    "open_rate_speech",
    "open_rate_nonspeech",
)


def evaluate(
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or a path.")],
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Audio and segments.csv (file,start_s,end_s,label)."),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Measure a model on labelled recordings, frame by frame."""
    from surnn import load
    from surnn.evaluate import audio_files
    from surnn.evaluate import evaluate as measure
    from surnn_cli.progress import FileProgress

    opened = load(model)
    seen: list[str] = []
    total = 0.0
    with FileProgress(len(audio_files(directory))) as bar:

        def progress(name: str, seconds: float) -> None:
            nonlocal total
            total += seconds
            if seen and seen[-1] != name:
                bar.advance()
            if not seen or seen[-1] != name:
                seen.append(name)
            bar.file(name, total)

        figures = measure(opened, directory, progress=progress)
    if json:
        import orjson

        typer.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
        return
    _print(figures)


def _print(figures: dict[str, Any]) -> None:
    from rich.table import Table

    from surnn_cli.console import output

    console = output()
    console.print(
        f"model {figures['model']} version {figures['version']}, label {figures['label']!r}, "
        f"threshold {figures['threshold']:g}, frames of {figures['frame_ms']:g} ms\n",
        markup=False,
    )
    summary = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    summary.add_column(style="dim")
    summary.add_column(justify="right")
    for name in _PERCENT:
        summary.add_row(name.replace("_", " "), _figure(figures.get(name)))
    summary.add_row("seconds of audio", f"{figures['seconds']:,.1f}")
    summary.add_row("times real time", f"{figures['realtime_factor']:,.0f}")
    console.print(summary)
    files = figures["files"]
    shown = sorted(files.items(), key=lambda item: item[1].get("accuracy") or 0.0)[:10]
    table = Table(
        title=f"Least accurate of {len(files)} files" if len(files) > len(shown) else None,
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    table.add_column("file", overflow="fold")
    for name in ("accuracy", "f1", "auc", "open rate"):
        table.add_column(name, justify="right", no_wrap=True)
    for file, row in shown:
        table.add_row(
            file, *(_figure(row.get(key)) for key in ("accuracy", "f1", "auc", "open_rate"))
        )
    console.print()
    console.print(table)


def _figure(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "-"
