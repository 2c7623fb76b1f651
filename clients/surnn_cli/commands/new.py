"""`surnn new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["new"]


def new(
    project: Annotated[Path, typer.Argument(help="Folder to write; its name is the model's.")],
    kind: Annotated[str, typer.Option(help="What it hears: audio or sensor.")] = "audio",
    data: Annotated[
        Path | None, typer.Option(help="Your labelled recordings, where they are already.")
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Make up some recordings to try it with.")
    ] = False,
) -> None:
    """Start a project: a folder with a config to train on your own recordings."""
    from surnn.project import CONFIG, Kind, new_project
    from surnn_cli.console import output
    from surnn_cli.errors import CommandError

    if kind not in tuple(Kind):
        raise CommandError(f"kind is {kind!r}, expected one of {[k.value for k in Kind]}")
    found = new_project(project, kind=Kind(kind), data=data, example=example)
    console = output()
    lines = [f"wrote {project / CONFIG} and {project / 'README.md'}"]
    if data is not None or example:
        layout = found.layout.value if found.layout else "?"
        lines.append(f"labels {', '.join(found.labels)} (layout {layout}), split by {found.group}")
    else:
        lines.append(f"put recordings into {project / 'data'} and their labels into {CONFIG}")
    lines.append(f"next: surnn train {project / CONFIG} --out {project / 'model'}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
