"""Tables of numbers and words, and the line of each row: CSV (also gzip'ed) and Parquet."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surnn.errors import InvalidInput, MissingDependency

__all__ = ["SUFFIXES", "Table", "read_table", "table_files"]

SUFFIXES = (".csv", ".csv.gz", ".parquet")
_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of one file."""

    path: Path
    columns: Mapping[str, Sequence[Any]]
    """Words of a CSV file; values of whatever type of a Parquet file."""
    lines: NDArray[np.int64]
    """Where each row stands [n]; in a Parquet file the row's number from 1."""

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str) -> Sequence[Any]:
        """Values of a column [n]. Raises `InvalidInput`."""
        if name not in self.columns:
            raise InvalidInput(
                f"{self.path}:1: columns are {','.join(self.columns)}, expected {name} too"
            )
        return self.columns[name]

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Finite numbers of a column [n]. Raises `InvalidInput` naming the line."""
        values = self.column(name)
        try:
            found = np.asarray(values, np.float64)
            if np.isfinite(found).all():
                return found
        except (TypeError, ValueError):
            pass
        for line, value in zip(self.lines, values, strict=True):
            try:
                good = np.isfinite(float(value))
            except (TypeError, ValueError):
                good = False
            if not good:
                raise InvalidInput(
                    f"{self.path}:{line}: {name} is {_shown(value)}, expected a finite number"
                )
        raise InvalidInput(f"{self.path}: {name} is not a column of numbers")

    def words(self, name: str) -> list[str]:
        """Text of a column [n], without blanks around it."""
        return ["" if v is None else str(v).strip() for v in self.column(name)]

    def seconds(self, name: str, unit: str) -> NDArray[np.float64]:
        """Times of a column, from the first row on [n]; they must not go back.

        unit: `s`, `ms`, `us`, `ns`, or `datetime` (ISO 8601). Raises `InvalidInput` naming the
        line.
        """
        if unit == "datetime":
            times = np.array([self._moment(i, name, v) for i, v in enumerate(self.column(name))])
        else:
            times = self.numbers(name) * _UNITS[unit]
        back = np.flatnonzero(np.diff(times) < 0)
        if len(back):
            i = int(back[0]) + 1
            raise InvalidInput(
                f"{self.path}:{self.lines[i]}: {name} is {_shown(self.column(name)[i])}, "
                f"before that of the row above ({_shown(self.column(name)[i - 1])}), "
                "expected times in order"
            )
        since: NDArray[np.float64] = times - times[0]
        return since

    def _moment(self, row: int, name: str, value: Any) -> float:
        if isinstance(value, datetime):
            moment = value
        else:
            try:
                moment = datetime.fromisoformat(str(value).strip())
            except ValueError:
                raise InvalidInput(
                    f"{self.path}:{self.lines[row]}: {name} is {_shown(value)}, "
                    "expected a date and time like 2024-05-31 14:00:00"
                ) from None
        # Without a time zone, differences are what counts: any zone does.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def table_files(folder: Path) -> list[str]:
    """Names of the tables in a folder and its subfolders, relative to it, in order.

    Raises `InvalidInput` when there is no folder, or no table in it.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is not a folder, expected one with {', '.join(SUFFIXES)}")
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")
    )
    if not names:
        raise InvalidInput(f"{folder} holds no tables, expected {', '.join(SUFFIXES)}")
    return names


def read_table(path: Path) -> Table:
    """A whole table with a header. Raises `InvalidInput` naming file and line."""
    try:
        table = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    except OSError as error:
        reason = error.strerror or error
        raise InvalidInput(f"{path}: cannot be read ({reason}), expected a table") from None
    if not len(table):
        raise InvalidInput(f"{path} holds a header and no rows, expected some")
    return table


def _csv(path: Path) -> Table:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise InvalidInput(f"{path}: not readable as a table: {error}") from None
    first = text.split("\n", 1)[0]
    separator = next((s for s in ";\t" if s in first), ",")
    reader = csv.reader(text.splitlines(), delimiter=separator)
    rows: list[list[str]] = []
    lines: list[int] = []
    header: list[str] = []
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = [cell.strip() for cell in row]
                continue
            if len(row) != len(header):
                raise InvalidInput(
                    f"{path}:{reader.line_num}: {len(row)} columns, expected {len(header)}"
                )
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise InvalidInput(f"{path}:{reader.line_num}: {error}") from None
    if not header:
        raise InvalidInput(f"{path} is empty, expected a table with a header")
    if len(set(header)) != len(header):
        raise InvalidInput(f"{path}:1: columns are {','.join(header)}, expected different names")
    columns = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else {}
    return Table(path, columns or dict.fromkeys(header, ()), np.array(lines, np.int64))


def _parquet(path: Path) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise MissingDependency(
            f"{path} is a Parquet file, which needs pyarrow: pip install 'surnn[parquet]'"
        ) from None
    try:
        found = parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise InvalidInput(f"{path}: not readable as Parquet: {error}") from None
    columns = {name: found.column(name).to_pylist() for name in found.column_names}
    return Table(path, columns, np.arange(1, found.num_rows + 1))


def _shown(value: Any) -> str:
    return repr(value.strip() if isinstance(value, str) else value)
