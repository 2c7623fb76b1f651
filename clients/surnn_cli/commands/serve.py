"""`surnn serve`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from surnn_cli.errors import CommandError

__all__ = ["ServeCommand", "serve"]


class ServeCommand(TyperCommand):
    """Adds to the help what the environment can set: the server knows best."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help."""
        super().format_help(ctx, formatter)
        from rich.table import Table

        from surnn_cli.console import output
        from surnn_server import Settings

        table = Table(
            title="Settings in the environment", title_justify="left", box=None, pad_edge=False
        )
        for heading in ("variable", "default", "meaning"):
            table.add_column(heading, overflow="fold")
        for name, field in Settings.model_fields.items():
            default = getattr(field.default, "value", field.default)
            table.add_row(
                f"SURNN_{name.upper()}", "" if default == () else str(default), field.description
            )
        output().print(table)


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 0.0.0.0 for all. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 picks a free one. [default: 8000]")
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            "-m",
            help="Names or paths, separated by commas; may be repeated. [default: all shipped]",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes; more than one needs Linux, and a core each. [default: 1]"),
    ] = None,
    max_sessions: Annotated[
        int | None, typer.Option(help="Streams at the same time. [default: 1024]")
    ] = None,
    idle_timeout: Annotated[
        float | None,
        typer.Option(help="Seconds of silence that end a stream; 0: none. [default: 60]"),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error. [default: info]")
    ] = None,
) -> None:
    """Serve models: streams over WebSocket, files over REST."""
    from pydantic import ValidationError

    from surnn_server import Settings, run

    names = [name.strip() for part in models or () for name in part.split(",")]
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "models": tuple(filter(None, names)) or None,
        "workers": workers,
        "max_sessions": max_sessions,
        "idle_timeout_s": idle_timeout,
        "log_level": log_level,
    }
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"])
        raise CommandError(f"{name} is {first['input']!r}: {first['msg']}") from None
    run(settings)
