"""One JSON file for each run: what was asked, what came out, on what, and by which command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from surnn.errors import InvalidConfig

__all__ = ["Layer", "Recall", "Record", "Score", "read_records", "write_record"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Layer(_Part):
    """One recurrent layer of the run."""

    cell: str
    hidden: int
    switch: str
    """Mode of the switches, with how they were trained where that is out of the ordinary."""
    open_rate: float
    """On test sequences."""
    dead: int | None = None
    """Switches that never opened on test sequences; None: the layer has none."""
    always_open: int | None = None


class Score(_Part):
    """The figure of the task."""

    metric: str
    higher_is_better: bool
    test: float
    valid: float
    aim: float | None
    reached: bool | None
    chance: float | None


class Recall(_Part):
    """One length of silence (see `surnn.tasks.silence.RecallPoint`)."""

    seconds: float
    accuracy: float
    carried: float


class Record(_Part):
    """One run."""

    kind: str = "task-run"
    task: str
    group: str = "main"
    """Which table it stands in."""
    settings: str
    length: int
    layers: tuple[Layer, ...]
    parameters: int
    seed: int
    steps: int
    seconds: float
    """Of training, with its validations; wall clock."""
    cpu_seconds: float
    score: Score
    open_rate: float
    """Of all neurons, on test sequences."""
    recall: tuple[Recall, ...] = ()
    device: str
    command: str
    notes: tuple[str, ...] = ()
    config: dict[str, Any]
    machine: dict[str, Any]


def write_record(path: Path, record: Record) -> None:
    """Write a record, and folders that are missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_records(folder: Path) -> list[Record]:
    """All records of a folder, by file name. Raises `InvalidConfig` when one is damaged."""
    records = []
    for path in sorted(folder.glob("*.json")):
        try:
            contents = json.loads(path.read_text(encoding="utf-8"))
            if contents.get("kind") == "task-run":
                records.append(Record.model_validate(contents))
        except (ValueError, AttributeError) as error:
            raise InvalidConfig(f"{path}: not a record of a task: {error}") from None
    return records
