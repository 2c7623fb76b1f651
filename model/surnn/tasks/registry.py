"""Which tasks there are, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from surnn.errors import InvalidConfig
from surnn.tasks import (
    adding,
    listops,
    mackey_glass,
    recall,
    selective_copy,
    sequential_mnist,
    spoken_digits,
)
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


def _generated(cls: Callable[[Any], Benchmark[Any]], about: str, module: Any) -> Entry:
    settings = {Settings.FAST: module.fast, Settings.PAPER: module.paper}
    return Entry(about, lambda config, data: cls(config), settings)


TASKS: dict[str, Entry] = {
    "adding": _generated(adding.Adding, adding.Adding.about, adding),
    "selective-copy": _generated(
        selective_copy.SelectiveCopy, selective_copy.SelectiveCopy.about, selective_copy
    ),
    "mackey-glass": _generated(
        mackey_glass.MackeyGlass, mackey_glass.MackeyGlass.about, mackey_glass
    ),
    "listops": _generated(listops.ListOps, listops.ListOps.about, listops),
    "spoken-digits": Entry(
        spoken_digits.SpokenDigits.about,
        spoken_digits.SpokenDigits,
        {Settings.FAST: spoken_digits.fast, Settings.PAPER: spoken_digits.paper},
    ),
    "recall": _generated(recall.Recall, recall.Recall.about, recall),
    "sequential-mnist": Entry(
        sequential_mnist.SequentialMnist.about,
        sequential_mnist.SequentialMnist,
        {
            Settings.FAST: sequential_mnist.fast,
            Settings.PAPER: sequential_mnist.paper,
        },
    ),
    "permuted-mnist": Entry(
        "The same, with all images' pixels in one random order",
        sequential_mnist.SequentialMnist,
        {
            Settings.FAST: sequential_mnist.fast_permuted,
            Settings.PAPER: sequential_mnist.paper_permuted,
        },
    ),
}


def task_entry(name: str) -> Entry:
    """The task of that name. Raises `InvalidConfig`."""
    if name not in TASKS:
        raise InvalidConfig(f"no task {name!r}, expected one of {', '.join(TASKS)}")
    return TASKS[name]
