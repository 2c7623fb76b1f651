"""A folder of sensor tables and their labels, on an even grid of time, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surnn.dataset.labelled import Labelled, check_labels, check_overlaps
from surnn.dataset.options import Columns, Labelling, Layout
from surnn.dataset.tables import Table, read_table, table_files
from surnn.errors import InvalidInput
from surnn.segments import Segment, check_segments, read_fields, read_segments
from surnn.types import Float32

__all__ = ["Series", "even_grid", "guess_columns", "read_sensor"]

_RATE_TOLERANCE = 0.5
"""A recording may have this share more or fewer rows a second than the model hears."""
_TIMES = ("time", "t", "timestamp", "datetime", "t_ms")
_FILES = ("groups.csv", "split.csv", "files.csv")


@dataclass(frozen=True, slots=True)
class Series:
    """One sensor recording on an even grid."""

    labelled: Labelled
    samples: Float32
    """[T, channels]"""
    times: NDArray[np.float64]
    """Of the rows as they were recorded, in seconds from the first [n]."""
    rows: Float32
    """The rows as they were recorded [n, channels]."""
    lines: NDArray[np.int64]
    """Where the rows stand in the file [n]."""


def read_sensor(
    folder: Path,
    sample_rate: float,
    columns: Columns | None = None,
    labelling: Labelling | None = None,
    *,
    labels: Sequence[str] | None = None,
    exclusive: bool | None = None,
) -> list[Series]:
    """Every table of a folder, in the order of their names.

    Args:
        folder: `.csv`, `.csv.gz` and `.parquet` files at any depth, with headers.
        sample_rate: of the even grid.
        columns: what the columns mean; None: see `guess_columns`.
        labelling: `column` (which is tried first) or `segments`.
        labels: those that a model has; None: any.
        exclusive: as of `read_audio`.

    Raises `InvalidInput` naming file and line.
    """
    labelling = labelling or Labelling()
    names = [n for n in table_files(folder) if n not in (*_FILES, labelling.table)]
    if not names:
        raise InvalidInput(f"{folder} holds no tables of samples, expected some")
    table = folder / labelling.table
    by_table = labelling.layout is Layout.SEGMENTS or (labelling.layout is None and table.is_file())
    if labelling.layout not in (None, Layout.SEGMENTS, Layout.COLUMN):
        raise InvalidInput(
            f"layout {labelling.layout.value!r} is for audio, expected 'column' or 'segments'"
        )
    marked = read_segments(table) if by_table else {}
    fields = read_fields(table) if by_table else {}
    for name, rows in marked.items():
        if name not in names:
            raise InvalidInput(f"{table}:{rows[0].line}: no sensor table {name!r} in {folder}")
    found: list[Series] = []
    for name in names:
        content = read_table(folder / name)
        if columns is None:
            columns, _ = guess_columns(content)
        channels = columns.channels or _channels(content, columns)
        values = np.stack([content.numbers(c) for c in channels], axis=1)
        times = _times(content, columns, sample_rate)
        if found and values.shape[1] != found[0].rows.shape[1]:
            raise InvalidInput(
                f"{folder / name}: {values.shape[1]} channels ({', '.join(channels)}), "
                f"expected {found[0].rows.shape[1]} as in {found[0].labelled.name}"
            )
        # The last sample lasts as long as the others do.
        seconds = float(times[-1]) + 1.0 / sample_rate
        source = table if by_table else folder / name
        segments = marked.get(name, []) if by_table else _runs(content, times, columns, seconds)
        if labels is not None:
            check_labels(source, segments, labels)
        check_segments(source, {name: segments}, {name: seconds})
        if exclusive is not None:
            check_overlaps(source, segments, exclusive=exclusive)
        more = fields.get(name, {}) if by_table else _constants(content, columns, channels)
        rows_ = values.astype(np.float32)
        found.append(
            Series(
                Labelled(name, folder / name, seconds, sample_rate, tuple(segments), source, more),
                even_grid(rows_, times, sample_rate),
                times,
                rows_,
                content.lines,
            )
        )
    return found


def guess_columns(table: Table, taken: Sequence[str | None] = ()) -> tuple[Columns, int]:
    """What the columns of a table mean, by their names, and the rows in a second.

    A column called time, t, timestamp or so holds time stamps; all other columns of numbers, but
    those `taken`, are channels.
    """
    time = next((c for c in table.columns if c.lower() in _TIMES), None)
    rest = [c for c in table.columns if c not in (time, "label", *taken)]
    channels = tuple(c for c in rest if _is_number(table.columns[c][0]))
    if time is None:
        return Columns(channels=channels), 50
    if not _is_number(table.columns[time][0]):
        unit = "datetime"
    elif time.lower().endswith("_ms"):
        unit = "ms"
    else:
        step = float(np.median(np.diff(table.numbers(time))))
        # Sensors give between one and some thousand rows a second.
        unit = "s" if step < 5 else "ms" if step < 5_000 else "us" if step < 5e6 else "ns"
    step = float(np.median(np.diff(table.seconds(time, unit))))
    columns = {"channels": channels, "time": time, "time_unit": unit}
    return Columns.model_validate(columns), max(1, round(1.0 / max(step, 1e-6)))


def even_grid(samples: Float32, times: NDArray[np.float64], rate: float) -> Float32:
    """Rows [n, channels] at uneven times [n] on an even grid of `rate` per second [T, channels].

    Rows that share a time stamp are averaged; between rows, straight lines.
    """
    stamps, group = np.unique(times, return_inverse=True)
    counts = np.bincount(group)
    sums = np.stack([np.bincount(group, weights=channel) for channel in samples.T], axis=1)
    means = sums / counts[:, None]
    grid = np.arange(stamps[0], stamps[-1] + 0.5 / rate, 1.0 / rate)
    even = np.stack([np.interp(grid, stamps, channel) for channel in means.T], axis=1)
    return even.astype(np.float32)


def _times(table: Table, columns: Columns, rate: float) -> NDArray[np.float64]:
    if columns.time is None:
        return np.arange(len(table)) / rate
    times = table.seconds(columns.time, columns.time_unit)
    if len(times) < 2 or times[-1] <= 0:
        raise InvalidInput(f"{table.path}: {len(times)} rows at one time, expected a series")
    seen = 1.0 / max(float(np.median(np.diff(np.unique(times)))), 1e-12)
    if not rate * (1 - _RATE_TOLERANCE) <= seen <= rate * (1 + 2 * _RATE_TOLERANCE):
        raise InvalidInput(
            f"{table.path}: about {seen:.4g} rows a second by {columns.time!r} "
            f"(in {columns.time_unit}), expected about {rate:g} (model.sample_rate)"
        )
    return times


def _channels(table: Table, columns: Columns) -> list[str]:
    """All columns of numbers but those with a meaning of their own."""
    rest = [c for c in table.columns if c not in (columns.time, columns.label)]
    channels = [c for c in rest if _is_number(table.columns[c][0])]
    if not channels:
        raise InvalidInput(
            f"{table.path}:1: columns are {','.join(table.columns)}, expected columns of numbers"
        )
    return channels


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def _constants(table: Table, columns: Columns, channels: Sequence[str]) -> dict[str, str]:
    """Columns that hold one value throughout: the subject, say."""
    more = {}
    for name in table.columns:
        if name not in (*channels, columns.label, columns.time):
            values = set(table.words(name))
            if len(values) == 1:
                more[name] = values.pop()
    return more


def _runs(
    table: Table, times: NDArray[np.float64], columns: Columns, seconds: float
) -> list[Segment]:
    """Rows in a row with one label, as segments; empty cells hold none."""
    words = table.words(columns.label)
    changes = [i for i in range(1, len(words)) if words[i] != words[i - 1]]
    out = []
    for first, last in zip([0, *changes], [*changes, len(words)], strict=True):
        end = float(times[last]) if last < len(words) else seconds
        if words[first] and end > times[first]:
            out.append(Segment(float(times[first]), end, words[first], int(table.lines[first])))
    return out
