"""How labels lie beside recordings, and which recordings belong together: tables of a config."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = ["Columns", "Labelling", "Layout", "SplitRule"]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Layout(StrEnum):
    """Where the labels of recordings are."""

    FOLDERS = "folders"
    """One folder for each label; it holds in the whole of every recording in there."""
    SEGMENTS = "segments"
    """One CSV table for all recordings: file,start,end,label (seconds)."""
    RTTM = "rttm"
    """NIST's Rich Transcription Time Marked: `.rttm` files, one line for each segment."""
    AUDACITY = "audacity"
    """A label track beside each recording: `call.txt` for `call.wav`."""
    COLUMN = "column"
    """Sensor recordings only: a column of the table itself."""


class Labelling(_Table):
    """How the labels of recordings are read."""

    layout: Layout | None = Field(default=None, description="None: what the folder looks like")
    table: str = Field(default="segments.csv", description="Name of the CSV table of segments")
    call: str | None = Field(
        default=None, description="Every segment counts as this label (speakers of an RTTM file)"
    )
    background: str | None = Field(default=None, description="The label that holds where no other")
    upsample: bool = Field(
        default=False, description="Take recordings of a lower rate than the model's"
    )


class Columns(_Table):
    """What the columns of sensor tables mean."""

    channels: tuple[str, ...] = Field(default=(), description="In this order; (): all others")
    time: str | None = Field(default=None, description="None: rows are evenly spaced")
    time_unit: Literal["s", "ms", "us", "ns", "datetime"] = "s"
    label: str = Field(default="label", description="For the layout `column`")


class SplitRule(_Table):
    """Which recordings are kept apart. Recordings of one group never stand on both sides."""

    by: str = Field(
        default="group",
        description="A column of the table of segments or of sensor tables; `file`; `folder`; "
        "or `group`, the one column `pattern` or `groups.csv` (file,group) defines",
    )
    pattern: str | None = Field(
        default=None, description="Regular expression on file names: its first group is the group"
    )
    valid: Annotated[float, Field(gt=0, lt=1)] | tuple[str, ...] = Field(
        default=0.2, description="A share of the material, or the names of groups"
    )
    test: Annotated[float, Field(ge=0, lt=1)] | tuple[str, ...] = Field(
        default=0.2, description="The same; 0: none, and nothing untouched to report on"
    )
    ignore_groups: bool = Field(
        default=False, description="Split by file, whoever is in them: figures then flatter"
    )

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                groups = re.compile(value).groups
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
            if groups < 1:
                raise ValueError(f"{value!r} has no (group), expected one around what is the group")
        return value

    @model_validator(mode="after")
    def _apart(self) -> SplitRule:
        if isinstance(self.valid, float) and isinstance(self.test, float):
            if self.valid + self.test >= 1:
                raise ValueError(f"valid {self.valid:g} and test {self.test:g} leave nothing over")
        elif isinstance(self.valid, tuple) and isinstance(self.test, tuple):
            both = sorted(set(self.valid) & set(self.test))
            if both:
                raise ValueError(f"groups {both} are named for valid and for test")
        return self
