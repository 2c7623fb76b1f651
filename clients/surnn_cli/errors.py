"""How commands fail: one line on standard error, and an exit code; no traceback.

0    done
1    the run failed: a server away, files that cannot be scored
2    the call was wrong: an option, a file, a model's name
130  interrupted
"""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["CommandError", "ErrorGroup", "report"]


class CommandError(Exception):
    """A command cannot go on, and says why."""

    def __init__(self, message: str, *, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ErrorGroup(TyperGroup):
    """Commands whose expected errors end in one line."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # whoever read our output has seen enough: Typer ends quietly
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except _expected() as error:
            report(str(error))
            raise typer.Exit(_exit_code(error)) from None


def report(message: str) -> None:
    """Print an error on standard error."""
    from surnn_cli.console import errors

    console = errors()
    line = " ".join(message.split())
    console.print(f"error: {line}", style="bold red", markup=False, highlight=False, soft_wrap=True)


def _expected() -> tuple[type[Exception], ...]:
    """What may go wrong without being a bug. Only what is loaded can have been raised."""
    kinds: list[type[Exception]] = [CommandError, OSError]
    for module, name in (
        ("surnn.errors", "SurnnError"),
        ("surnn_client.exceptions", "ClientError"),
    ):
        if module in sys.modules:
            kinds.append(getattr(sys.modules[module], name))
    return tuple(kinds)


def _exit_code(error: Exception) -> int:
    if isinstance(error, CommandError):
        return error.exit_code
    if "surnn_client.exceptions" in sys.modules:
        from surnn_client import (
            ConnectionFailed,
            ConnectionLost,
            ProtocolViolation,
            ServerBusy,
            ServerFault,
            SessionExpired,
        )

        failed = (
            ConnectionFailed,
            ConnectionLost,
            ProtocolViolation,
            ServerBusy,
            ServerFault,
            SessionExpired,
        )
        return 1 if isinstance(error, failed) else 2
    return 2
