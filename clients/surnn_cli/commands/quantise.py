"""`surnn quantise`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surnn_cli.torch import require_torch

__all__ = ["quantise"]


def quantise(
    model: Annotated[str, typer.Argument(help="Name of a shipped model, or a path.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Labelled recordings.")],
    out: Annotated[Path, typer.Option(help="Folder to write the small model to.")],
    part: Annotated[str | None, typer.Option(help="Only what training kept apart as this.")] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only tables of telemetry whose names match."),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="How far accuracy, F1 and AUC may fall.", min=0.0)
    ] = 0.005,
) -> None:
    """Store a model's weights in 8 bits, if it is as good as before. Needs the `torch` extra."""
    require_torch("quantising")
    from surnn.dataset.split import Part
    from surnn.export.quantise import quantise as run
    from surnn_cli.console import output
    from surnn_cli.errors import CommandError

    if part is not None and part not in tuple(Part):
        raise CommandError(f"part is {part!r}, expected one of {[p.value for p in Part]}")
    figures = run(
        model,
        directory,
        out,
        part=Part(part) if part else None,
        files=files or ["*"],
        tolerance=tolerance,
    )
    before, after = figures["float32"], figures["int8"]
    console = output()
    console.print(f"wrote {out / 'model.onnx'}", markup=False)
    for name in before:
        console.print(f"{name:<14} {before[name]!s:>22} -> {after[name]}", markup=False)
