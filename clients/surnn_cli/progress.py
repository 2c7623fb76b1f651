"""Progress on standard error: a bar on a terminal, nothing in a pipe."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from surnn_cli.console import errors

if TYPE_CHECKING:
    from surnn.score import ScoreProgress

__all__ = ["FileProgress"]


class FileProgress:
    """A bar over many files. A context manager."""

    def __init__(self, total: int | None, *, show: bool = True) -> None:
        console = errors()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not show or not console.is_terminal,
        )
        self._task = self._bar.add_task("files", total=total, note="")

    def update(self, progress: ScoreProgress) -> None:
        """Take how far the scoring has come."""
        note = f"{progress.seconds:,.0f} s of recordings"
        if progress.failed:
            note += f", {progress.failed} failed"
        self._bar.update(self._task, completed=progress.done, note=note)

    def file(self, name: str, seconds: float) -> None:
        """Take that a file has begun, after so many seconds of recordings."""
        self._bar.update(self._task, note=f"{seconds:,.0f} s of recordings, now {name}")

    def advance(self) -> None:
        """One more file is done."""
        self._bar.advance(self._task)

    def __enter__(self) -> FileProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
