"""Settings of a task: everything that decides what a run learns, and how."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import Field, ValidationError

from surnn.errors import InvalidConfig
from surnn.spec import LayerSpec
from surnn.train.config import Training

__all__ = ["Stage", "TaskConfig", "with_settings"]

Stage = tuple[float, int]
"""From this share of the steps on, training sequences have this length."""


class TaskConfig(Training):
    """What all tasks have; each adds its own. `length` is that of validation and test."""

    layers: tuple[LayerSpec, ...] = Field(min_length=1)
    length: int = Field(ge=8, description="T, frames of a sequence")
    curriculum: tuple[Stage, ...] = Field(
        default=(), description="Shorter training sequences first; empty: always `length`"
    )
    valid_sequences: int = Field(default=512, gt=0)
    test_sequences: int = Field(default=2048, gt=0)

    def training_length(self, number: int) -> int:
        """Length of the sequences in batch `number`."""
        length = self.length if not self.curriculum else self.curriculum[0][1]
        for share, frames in self.curriculum:
            if number >= share * self.budget.steps:
                length = frames
        return length


C = TypeVar("C", bound=TaskConfig)


def with_settings(config: C, changes: dict[str, Any]) -> C:
    """The config with some settings changed, named like `optimiser.lr`.

    Raises `InvalidConfig` naming the setting.
    """
    table = config.model_dump()
    for path, value in changes.items():
        *parents, last = path.split(".")
        inner = table
        for name in parents:
            if not isinstance(inner.get(name), dict):
                raise InvalidConfig(f"no setting {path!r}: {name!r} is not a table of settings")
            inner = inner[name]
        if last not in inner:
            raise InvalidConfig(f"no setting {path!r}, expected one of {sorted(inner)}")
        inner[last] = value
    try:
        return type(config).model_validate(table)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidConfig(f"task settings: {problems}") from None
