"""Which tasks there are, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from surnn.errors import InvalidConfig
from surnn.tasks import adding, selective_copy
from surnn.tasks.benchmark import Benchmark
from surnn.tasks.config import TaskConfig

__all__ = ["TASKS", "Entry", "Settings", "task_entry"]


class Settings(StrEnum):
    """Where a run's settings start from."""

    FAST = "fast"
    """One CPU core, minutes."""
    PAPER = "paper"
    """The full task, on a GPU."""


@dataclass(frozen=True, slots=True)
class Entry:
    """How to make one task."""

    about: str
    make: Callable[[Any, Path | None], Benchmark[Any]]
    """From settings of the type that `settings` gives, and the folder of the data sets."""
    settings: dict[Settings, Callable[[], TaskConfig]]


def _entry(cls: type[Benchmark[Any]], module: Any) -> Entry:
    settings = {Settings.FAST: module.fast, Settings.PAPER: module.paper}
    return Entry(cls.about, lambda config, data: cls(config), settings)


TASKS: dict[str, Entry] = {
    "adding": _entry(adding.Adding, adding),
    "selective-copy": _entry(selective_copy.SelectiveCopy, selective_copy),
}


def task_entry(name: str) -> Entry:
    """The task of that name. Raises `InvalidConfig`."""
    if name not in TASKS:
        raise InvalidConfig(f"no task {name!r}, expected one of {', '.join(TASKS)}")
    return TASKS[name]
