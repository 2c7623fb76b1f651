"""Where commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys

from rich.console import Console

__all__ = ["errors", "output", "supports_blocks"]


def output() -> Console:
    """Standard output: colours on a terminal, plain text in a pipe."""
    return Console(highlight=False)


def errors() -> Console:
    """Standard error, for progress and problems."""
    return Console(stderr=True, highlight=False)


def supports_blocks(console: Console) -> bool:
    """Can block characters be shown there?"""
    encoding = getattr(console.file, "encoding", None) or sys.getdefaultencoding()
    return encoding.lower().replace("-", "").startswith("utf")
