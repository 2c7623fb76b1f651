"""`surnn train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surnn_cli.errors import CommandError
from surnn_cli.torch import require_torch

__all__ = ["train"]


def train(
    config: Annotated[Path, typer.Argument(help="What to train: a TOML file.")],
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the data sets. [default: the config's]"),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Stop after this long. [default: the config's]", min=0.0)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Stop after so many steps. [default: the config's]", min=1)
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="Folder of a trained model to begin with its weights.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Draw other clips. [default: the config's]", min=0)
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the run that was cut off in OUT."),
    ] = False,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write curves for TensorBoard there.")
    ] = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Don't train: measure the model in OUT again."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
) -> None:
    """Train a model on labelled recordings. Needs the `torch` extra."""
    if not config.is_file():
        raise CommandError(f"no file {config}, expected a training config (TOML)")
    require_torch("training")
    if measure:
        if data is None:
            raise CommandError("--measure needs --data, the folder of the data sets")
        from surnn.train.measure import measure as again

        again(config, data, out)
        return
    from surnn.train import train as run

    run(
        config,
        data,
        out,
        minutes=minutes,
        steps=steps,
        start=start,
        seed=seed,
        resume=resume,
        tensorboard=tensorboard,
        progress=not quiet,
    )
