"""The command line as a whole: which commands there are."""

from __future__ import annotations

from typing import Annotated

import typer

from surnn_cli.commands import (
    apikey,
    bench,
    demo,
    evaluate,
    export,
    info,
    key,
    models,
    new,
    quantise,
    score,
    serve,
    soak,
    stream,
    tasks,
    train,
    verify,
)
from surnn_cli.errors import ErrorGroup

__all__ = ["app", "main"]

app = typer.Typer(
    cls=ErrorGroup,
    help="Streaming inference for selective-update RNNs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"surnn {version('surnn')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


_USE, _MODELS, _MAKE = "Use a model", "See what a model is", "Make a model"
_MEASURE = "Measure it"

app.command("demo", rich_help_panel=_USE)(demo.demo)
app.command("stream", rich_help_panel=_USE)(stream.stream)
app.command("score", rich_help_panel=_USE)(score.score)
app.command("apikey", rich_help_panel=_USE)(apikey.apikey)
app.command("serve", cls=serve.ServeCommand, rich_help_panel=_USE)(serve.serve)
app.command("key", rich_help_panel=_USE)(key.key)
app.command("models", rich_help_panel=_MODELS)(models.models)
app.command("info", rich_help_panel=_MODELS)(info.info)
app.command("verify", rich_help_panel=_MODELS)(verify.verify)
app.command("eval", rich_help_panel=_MODELS)(evaluate.evaluate)
app.command("new", rich_help_panel=_MAKE)(new.new)
app.command("train", rich_help_panel=_MAKE)(train.train)
app.command("export", rich_help_panel=_MAKE)(export.export)
app.command("quantise", rich_help_panel=_MAKE)(quantise.quantise)
app.add_typer(tasks.tasks, name="tasks", rich_help_panel=_MAKE)
app.add_typer(bench.bench, name="bench", rich_help_panel=_MEASURE)
app.add_typer(soak.soak, name="soak", rich_help_panel=_MEASURE)
app.command("warmup", rich_help_panel=_MEASURE)(bench.warmup)


def main() -> None:
    """Entry point of the `surnn` script."""
    app()
