"""`surnn eval`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or a path.")],
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Recordings and their labels: segments.csv (file,start,end,label), .rttm, "
            "Audacity tracks, one folder for each label; sensor tables; or telemetry with "
            "columns anomaly and changepoint, or with anomaly_windows.csv.",
        ),
    ],
    part: Annotated[
        str | None,
        typer.Option(help="Only what training kept apart as `test`, `valid` or `train`."),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Only tables of telemetry whose names match, 'valve1/*' say; may be repeated.",
        ),
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
            help="Choose the peers' thresholds on these recordings, or those of forecasts and "
            "baselines. [default: as documented]",
        ),
    ] = None,
    tune_files: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="As --files, of the folder of --tune."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Measure a model on labelled recordings: frames, words and events, or anomalies."""
    from surnn import load
    from surnn.compare import compare
    from surnn.dataset.record import read_record
    from surnn.dataset.split import Part
    from surnn.evaluate import count
    from surnn.evaluate import evaluate as measure
    from surnn.evaluate_telemetry import evaluate_telemetry, forecasts
    from surnn.model import locate
    from surnn_cli.errors import CommandError
    from surnn_cli.evaluations import anomalies, frames, words
    from surnn_cli.progress import FileProgress

    if part is not None and part not in tuple(Part):
        raise CommandError(f"part is {part!r}, expected one of {[p.value for p in Part]}")
    chosen = Part(part) if part else None
    opened, record = load(model), read_record(locate(model).parent)
    if forecasts(opened.spec):
        if peers or part is not None:
            raise CommandError(f"{model} makes forecasts: --peers and --part are of other models")
        found = evaluate_telemetry(
            opened, directory, files=files or ["*"], tune=tune, tune_files=tune_files or ["*"]
        )
        _shown(found.figures, json, anomalies)
        return
    if files or tune_files:
        raise CommandError(f"--files chooses tables of telemetry, but {model} makes no forecasts")
    if tune is not None and not peers:
        raise CommandError("--tune chooses thresholds of peers, expected --peers with it")
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
    if peers:
        from surnn_cli.peers import print_comparison

        _shown(figures, json, print_comparison)
        return
    _shown(figures, json, words if "words" in figures else frames)


def _shown(figures: dict[str, Any], json: bool, table: Callable[[dict[str, Any]], None]) -> None:
    if not json:
        table(figures)
        return
    import orjson

    typer.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
