"""The folder that `surnn new` writes: a config, a README, and a place for the data."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from surnn.dataset import Columns, Labelled, Labelling, Layout, read_audio
from surnn.dataset.audio import audio_files, find_layout
from surnn.dataset.sensor import guess_columns
from surnn.dataset.split import GROUPS
from surnn.dataset.tables import read_table, table_files
from surnn.errors import InvalidInput
from surnn.project.example import write_example
from surnn.project.templates import AUDIO_DATA, README, SENSOR_DATA, audio_config, sensor_config

__all__ = ["CONFIG", "Kind", "new_project"]

CONFIG = "config.toml"
_GROUP_COLUMNS = (
    "speaker",
    "subject",
    "person",
    "group",
    "place",
    "site",
    "session",
    "device",
    "recording",
)
_BACKGROUNDS = ("background", "silence", "none", "nothing", "noise", "other")


class Kind(StrEnum):
    """What a project listens to."""

    AUDIO = "audio"
    SENSOR = "sensor"


@dataclass(frozen=True, slots=True)
class Found:
    """What a data folder was seen to hold."""

    labels: tuple[str, ...] = ("yes", "no")
    layout: Layout | None = None
    background: str | None = None
    group: str = "group"
    sample_rate: int = 16_000
    columns: Columns = field(default_factory=lambda: Columns(channels=("x", "y", "z"), time="time"))
    call: str | None = None


def new_project(
    folder: Path,
    *,
    kind: Kind = Kind.AUDIO,
    data: Path | None = None,
    example: bool = False,
) -> Found:
    """Write a project into a folder that does not exist yet, or is empty.

    Args:
        folder: its name becomes the model's.
        kind: audio or sensor tables.
        data: recordings that are there already: labels, rates and columns are read off them.
        example: fill the data folder with made-up recordings, to try everything with.

    Returns what was found in the data. Raises `InvalidInput` for a folder that is in use, or data
    that cannot be read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} is there already and not empty, expected a new folder")
    if example and data is not None:
        raise InvalidInput("an example project makes its own data, expected no data folder")
    home = folder / "data"
    if data is not None:
        found = _look(kind, data)
    elif example:
        write_example(home, sensor=kind is Kind.SENSOR)
        found = _look(kind, home)
    else:
        found = Found() if kind is Kind.AUDIO else Found(sample_rate=50, layout=Layout.COLUMN)
        home.mkdir(parents=True)
        text = AUDIO_DATA if kind is Kind.AUDIO else SENSOR_DATA
        (home / "README.md").write_text(text, encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    name = _model_name(folder.resolve().name)
    where = json.dumps(str(data.resolve()) if data is not None else "data")
    render = audio_config if kind is Kind.AUDIO else sensor_config
    (folder / CONFIG).write_text(render(name, where, found), encoding="utf-8")
    readme = README.format(name=name, folder=folder.name, data=where.strip('"'))
    (folder / "README.md").write_text(readme, encoding="utf-8")
    return found


def _model_name(text: str) -> str:
    name = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    return (name if name[:1].isalpha() else f"model-{name}".strip("-"))[:64]


def _look(kind: Kind, data: Path) -> Found:
    return _look_at_audio(data) if kind is Kind.AUDIO else _look_at_tables(data)


def _look_at_audio(data: Path) -> Found:
    recordings = read_audio(data, Labelling())
    layout = find_layout(data, audio_files(data), Labelling())
    labels = sorted({s.label for r in recordings for s in r.segments})
    if not labels:
        raise InvalidInput(f"{data}: no segment has a label, expected some")
    call = None
    if layout is Layout.RTTM:
        labels, call = ["speech"], "speech"  # RTTM names speakers: who, not what
    lowest = int(min(r.sample_rate for r in recordings))
    background = next((n for n in labels if n.lower() in _BACKGROUNDS), None)
    return Found(
        labels=tuple(labels),
        layout=layout,
        background=background if len(labels) > 1 else None,
        group=_group(data, recordings, clips=layout is Layout.FOLDERS),
        sample_rate=8_000 if lowest < 16_000 else 16_000,
        call=call,
    )


def _group(data: Path, recordings: Sequence[Labelled], *, clips: bool) -> str:
    if (data / GROUPS).is_file() or clips:
        return "group"
    shared = set.intersection(*(set(r.fields) for r in recordings))
    return next((c for c in _GROUP_COLUMNS if c in shared), "file")


def _look_at_tables(data: Path) -> Found:
    names = [n for n in table_files(data) if n not in (GROUPS, "segments.csv")]
    if not names:
        raise InvalidInput(f"{data} holds no tables of samples, expected some")
    tables = [read_table(data / name) for name in names]
    first = tables[0]
    by_table = (data / "segments.csv").is_file()
    label = next((c for c in first.columns if c.lower() in ("label", "activity", "class")), None)
    if label is None and not by_table:
        raise InvalidInput(
            f"{first.path}:1: columns are {','.join(first.columns)}, expected one called label "
            "(or segments.csv in the folder)"
        )
    group = next((c for c in _GROUP_COLUMNS if c in first.columns), "file")
    columns, rate = guess_columns(first, (label, group))
    if not columns.channels:
        raise InvalidInput(f"{first.path}:1: no column of numbers is left, expected channels")
    labels: set[str] = set()
    for table in tables:
        labels |= set(table.words(label)) if label else set()
    if by_table:
        from surnn.segments import read_segments

        labels = {s.label for rows in read_segments(data / "segments.csv").values() for s in rows}
    known = sorted(labels - {""})
    return Found(
        labels=tuple(known),
        layout=Layout.SEGMENTS if by_table else Layout.COLUMN,
        background=next((n for n in known if n.lower() in _BACKGROUNDS), None),
        group="group" if (data / GROUPS).is_file() else group,
        sample_rate=rate,
        columns=columns.model_copy(update={"label": label or "label"}),
    )
