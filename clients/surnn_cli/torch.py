"""Commands that need torch say so before they begin."""

from __future__ import annotations

from importlib.util import find_spec

from surnn_cli.errors import CommandError

__all__ = ["require_torch"]


def require_torch(purpose: str) -> None:
    """Raise `CommandError` with the remedy when torch is not installed."""
    if find_spec("torch") is None:
        raise CommandError(f"{purpose} needs torch, which is missing: pip install 'surnn[torch]'")
