"""`surnn soak`: what happens to streams when everything goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surnn_cli.errors import CommandError

__all__ = ["soak"]

soak = typer.Typer(invoke_without_command=True)


@soak.command("report")
def report(
    data: Annotated[Path, typer.Argument(help="Folder of JSON reports.")] = Path("docs/data"),
    page: Annotated[Path, typer.Option("--page", help="Page to write.")] = Path(
        "docs/reliability.md"
    ),
) -> None:
    """Write docs/reliability.md from the JSON of soaks, fault tests and fuzzing."""
    from surnn_cli.soak.report import write_report

    typer.echo(str(write_report(data, page)))


@soak.callback()
def run(
    context: typer.Context,
    minutes: Annotated[float, typer.Option(help="How long.", min=0.2)] = 5.0,
    streams: Annotated[int, typer.Option(help="Well-behaved streams at a time.", min=1)] = 24,
    seed: Annotated[int, typer.Option(help="Of sounds and faults.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the JSON to a file as well.")
    ] = None,
) -> None:
    """Kill, drain, cut and abuse a server under live streams; prove that nothing was lost."""
    if context.invoked_subcommand is not None:
        return
    import orjson

    from surnn_cli.soak.run import Soak, run_soak

    result = run_soak(
        Soak(minutes=minutes, streams=streams, seed=seed), lambda line: typer.echo(line, err=True)
    )
    text = orjson.dumps(result, option=orjson.OPT_INDENT_2).decode()
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text + "\n")
    if json:
        typer.echo(text)
    if not result["ok"]:
        failures = result["failures"]
        assert isinstance(failures, list)
        raise CommandError(f"{len(failures)} failures, the first: {failures[0]}", exit_code=1)
    if not json:
        typer.echo("nothing was lost")
