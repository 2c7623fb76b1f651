"""`surnn key`."""

from __future__ import annotations

import typer

__all__ = ["key"]


def key() -> None:
    """Print a new key for SURNN_STATE_KEYS.

    Servers with the same key can go on with each other's streams. To change it, put the new key
    before the old one, and drop the old one once its last token has expired.
    """
    from surnn_server.tokens import new_key

    typer.echo(new_key())
