"""What a trained model remembers of its data: `data.json` beside the weights.

How the labels were read and which recording was in which part, so that `surnn eval --part test`
measures on exactly what was kept apart.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from surnn.dataset.options import Columns, Labelling
from surnn.dataset.split import Part
from surnn.errors import CorruptModel

__all__ = ["DATA_FILE", "DataRecord", "FilePart", "read_record", "write_record"]

DATA_FILE = "data.json"


class FilePart(BaseModel):
    """What one recording was used for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    group: str
    part: Part
    seconds: float


class DataRecord(BaseModel):
    """How the data of a training run was read and divided."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: Labelling = Labelling()
    columns: Columns = Columns()
    rule: str = ""
    """What made the groups, in words."""
    seed: int = 0
    files: tuple[FilePart, ...] = ()

    def names(self, part: Part) -> set[str]:
        """Recordings of a part."""
        return {f.file for f in self.files if f.part is part}


def write_record(record: DataRecord, folder: Path) -> None:
    """Write `data.json` into a model's folder."""
    text = json.dumps(record.model_dump(mode="json"), indent=1)
    (folder / DATA_FILE).write_text(text + "\n", encoding="utf-8")


def read_record(folder: Path) -> DataRecord | None:
    """The record of a model's folder; None when there is none. Raises `CorruptModel`."""
    path = folder / DATA_FILE
    if not path.is_file():
        return None
    try:
        return DataRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise CorruptModel(f"{path} cannot be read: {error}") from None
