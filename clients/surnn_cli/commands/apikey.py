"""`surnn apikey`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surnn_cli.errors import CommandError

__all__ = ["apikey"]


def apikey(
    name: Annotated[str, typer.Argument(help="Whom the key is for; shows up in no secret.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", "-s", help="stream, score, metrics or admin; may be repeated."),
    ] = None,
    file: Annotated[
        Path,
        typer.Option(
            "--file", "-f", envvar="SURNN_API_KEYS_FILE", help="Keys file, made if missing."
        ),
    ] = Path("surnn-keys.json"),
    max_sessions: Annotated[
        int, typer.Option(help="Streams and sequences at the same time; 0: no limit.", min=0)
    ] = 0,
    max_jobs: Annotated[int, typer.Option(help="Jobs that wait or run; 0: no limit.", min=0)] = 0,
    requests_per_minute: Annotated[
        float, typer.Option(help="REST calls and connections; 0: no limit.", min=0)
    ] = 0,
    audio_seconds_per_hour: Annotated[
        float, typer.Option(help="Stream time and length of files; 0: no limit.", min=0)
    ] = 0,
) -> None:
    """Make an API key for a server, and print its secret: it is shown this once.

    The file keeps only a hash. Remove a key from it to revoke it; servers follow the file.
    """
    from surnn_server.apikeys import KeyLimits, Scope, add_key

    try:
        scopes = [Scope(item) for item in scope or (Scope.STREAM, Scope.SCORE)]
    except ValueError as error:
        raise CommandError(
            f"--scope: {error}, expected one of {[s.value for s in Scope]}"
        ) from None
    limits = KeyLimits(
        max_sessions=max_sessions,
        max_jobs=max_jobs,
        requests_per_minute=requests_per_minute,
        audio_seconds_per_hour=audio_seconds_per_hour,
    )
    secret = add_key(file, name, scopes, limits)
    typer.echo(f"Key {name!r} added to {file}. Its secret, which cannot be shown again:", err=True)
    typer.echo(secret)
