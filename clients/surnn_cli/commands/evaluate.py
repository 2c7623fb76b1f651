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
        typer.Argument(
            metavar="DIR",
            help="Recordings and their labels: segments.csv (file,start,end,label), .rttm, "
            "Audacity tracks, one folder for each label; or sensor tables.",
        ),
    ],
    part: Annotated[
        str | None,
        typer.Option(help="Only what training kept apart as `test`, `valid` or `train`."),
    ] = None,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers",
            help="Beside silero-vad and webrtcvad, as far as they are installed (speech only).",
        ),
    ] = False,
    tune: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Choose the peers' thresholds on these recordings. [default: as documented]",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Measure a model on labelled recordings, frame by frame."""
    from surnn import load
    from surnn.compare import compare
    from surnn.dataset.record import read_record
    from surnn.dataset.split import Part
    from surnn.evaluate import count
    from surnn.evaluate import evaluate as measure
    from surnn.model import locate
    from surnn_cli.errors import CommandError
    from surnn_cli.progress import FileProgress

    if part is not None and part not in tuple(Part):
        raise CommandError(f"part is {part!r}, expected one of {[p.value for p in Part]}")
    if tune is not None and not peers:
        raise CommandError("--tune chooses thresholds of peers, expected --peers with it")
    chosen = Part(part) if part else None
    opened, record = load(model), read_record(locate(model).parent)
    seen: list[str] = []
    total = 0.0
    with FileProgress(count(opened, directory, chosen, record)) as bar:

        def progress(name: str, seconds: float) -> None:
            nonlocal total
            total += seconds
            if seen and seen[-1] != name:
                bar.advance()
            if not seen or seen[-1] != name:
                seen.append(name)
            bar.file(name, total)

        if peers:
            figures = compare(
                opened, directory, tune=tune, part=chosen, record=record, progress=progress
            )
        else:
            figures = measure(opened, directory, part=chosen, record=record, progress=progress)
    if json:
        import orjson

        typer.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
        return
    if peers:
        from surnn_cli.peers import print_comparison

        print_comparison(figures)
        return
    _print(figures)


def _print(figures: dict[str, Any]) -> None:
    from rich.table import Table

    from surnn_cli.console import output

    console = output()
    console.print(
        f"model {figures['model']} version {figures['version']}, "
        f"{figures['data']['recordings']} recordings ({figures['data']['part']}), "
        f"threshold {figures['threshold']:g}, frames of {figures['frame_ms']:g} ms\n",
        markup=False,
    )
    summary = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    summary.add_column(style="dim")
    summary.add_column(justify="right")
    for name in _PERCENT:
        if name in figures:
            summary.add_row(name.replace("_", " "), _figure(figures[name]))
    summary.add_row("seconds recorded", f"{figures['seconds']:,.1f}")
    summary.add_row("times real time", f"{figures['realtime_factor']:,.0f}")
    console.print(summary)
    console.print()
    console.print(_labels(figures["labels"]))
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


def _labels(labels: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("label", no_wrap=True)
    for name in ("f1", "auc", "missed", "false alarms", "events found", "false/hour", "latency ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for label, row in labels.items():
        events = row.get("events")
        found = f"{events['found']} of {events['truth']}" if events else "-"
        rate = _rounded(events["false_per_hour"]) if events else "-"
        late = _rounded(events["latency_ms_median"]) if events else "-"
        rates = (row.get(k) for k in ("f1", "auc", "miss_rate", "false_alarm_rate"))
        table.add_row(label, *(_figure(r) for r in rates), found, rate, late)
    return table


def _rounded(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _figure(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "-"
