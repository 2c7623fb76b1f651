"""Sensor recordings as blocks of samples, in constant memory: CSV tables and .npy arrays.

CSV: one row for each sample, one column for each channel; commas, semicolons or tabs; a header
row or none. Between semicolons a comma may be the decimal point.

    ax,ay,az
    0.02,-0.98,0.11
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import PurePath
from types import TracebackType
from typing import BinaryIO

import numpy as np

from surnn.errors import InvalidAudio
from surnn.sources import Source, open_source
from surnn.types import Float32

__all__ = ["SUFFIXES", "SensorFile"]

SUFFIXES = (".csv", ".npy")
_MAX_LINE = 65_536
_BLOCK_RATE = 100
"""Rows that count as one second: neither format says."""


class SensorFile:
    """An open .csv or .npy file of samples.

    Args:
        source: a path, or a pair of a name and an open binary file that can seek, which stays
            open.

    Raises `InvalidAudio`, naming the file without its folder, and the line of a table.
    """

    sample_rate: int | None = None
    """Not known from the file."""

    def __init__(self, source: Source) -> None:
        self._file, self.name, self._ours = open_source(source, None)
        self.frames: int | None = None
        """Samples of each channel; None for a table that was not read yet."""
        try:
            if PurePath(self.name).suffix.lower() == ".npy":
                self._rows: _Npy | _Csv = _Npy(self._file, self.name)
                self.frames = self._rows.frames
            else:
                self._rows = _Csv(self._file, self.name)
        except BaseException:
            self.close()
            raise
        self.channels = self._rows.channels

    def blocks(self, seconds: float = 10.0) -> Iterator[Float32]:
        """The samples from the first to the last, in blocks [n, channels]."""
        return self._rows.blocks(max(1, round(seconds * _BLOCK_RATE)))

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        if self._ours:
            self._file.close()

    def __enter__(self) -> SensorFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Npy:
    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        try:
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, fortran, self._dtype = read_header(file)
        except Exception:  # noqa: BLE001  numpy reads headers as Python, which fails in many ways
            raise InvalidAudio(f"{name} has no readable header, expected a .npy array") from None
        layout = f"{self._dtype} {list(shape)}" + (" in Fortran order" if fortran else "")
        if len(shape) not in (1, 2) or self._dtype.kind != "f" or (fortran and len(shape) == 2):
            raise InvalidAudio(f"{name} is {layout}, expected floats [n, channels] in C order")
        self.frames = int(shape[0])
        self.channels = int(shape[1]) if len(shape) == 2 else 1
        if self.frames < 1 or self.channels < 1:
            raise InvalidAudio(f"{name} is {layout}, expected at least one sample")
        self._start = file.tell()
        held = file.seek(0, os.SEEK_END) - self._start
        expected = self.frames * self.channels * self._dtype.itemsize
        if held < expected:
            raise InvalidAudio(f"{name} is cut off: {held} bytes of samples, expected {expected}")

    def blocks(self, size: int) -> Iterator[Float32]:
        row = self.channels * self._dtype.itemsize
        for first in range(0, self.frames, size):
            self._file.seek(self._start + first * row)
            data = self._file.read(min(size, self.frames - first) * row)
            samples = np.frombuffer(data, dtype=self._dtype).reshape(-1, self.channels)
            with np.errstate(over="ignore"):  # becomes infinity, which whoever takes it refuses
                yield samples.astype(np.float32)


class _Csv:
    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        first = next(self._lines(0, 0), None)
        if first is None:
            raise InvalidAudio(f"{name} holds no rows, expected numbers")
        number, line, end = first
        self._separator = next((s for s in ";\t" if s in line), ",")
        cells = self._cells(line)
        self.channels = len(cells)
        # A row with any word in it is a header, and the samples begin behind it.
        header = any(_number(cell) is None for cell in cells)
        self._start = (number, end) if header else (0, 0)
        if header and next(self._lines(*self._start), None) is None:
            raise InvalidAudio(f"{name} holds a header and no rows, expected numbers")

    def blocks(self, size: int) -> Iterator[Float32]:
        rows: list[list[float]] = []
        for number, line, _ in self._lines(*self._start):
            rows.append(self._row(number, line))
            if len(rows) == size:
                yield np.array(rows, dtype=np.float32)
                rows = []
        if rows:
            yield np.array(rows, dtype=np.float32)

    def _lines(self, number: int, position: int) -> Iterator[tuple[int, str, int]]:
        """Line number, text and the position behind it, for each line that is not blank."""
        self._file.seek(position)
        while raw := self._file.readline(_MAX_LINE):
            number += 1
            position += len(raw)
            if len(raw) == _MAX_LINE:
                raise InvalidAudio(
                    f"{self._name}:{number}: line of {_MAX_LINE} bytes or more, expected a row"
                )
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError:
                raise InvalidAudio(
                    f"{self._name}:{number}: not UTF-8 text, expected a table"
                ) from None
            if line:
                yield number, line, position

    def _cells(self, line: str) -> list[str]:
        cells = line.split(self._separator)
        return [c.replace(",", ".") for c in cells] if self._separator == ";" else cells

    def _row(self, number: int, line: str) -> list[float]:
        cells = self._cells(line)
        if len(cells) != self.channels:
            raise InvalidAudio(
                f"{self._name}:{number}: {len(cells)} columns, expected {self.channels}"
            )
        row = []
        for column, cell in enumerate(cells, start=1):
            value = _number(cell)
            if value is None or not math.isfinite(value) or abs(value) > _MAX_FLOAT:
                raise InvalidAudio(
                    f"{self._name}:{number}: column {column} is {cell.strip()!r}, "
                    "expected a finite number"
                )
            row.append(value)
        return row


_MAX_FLOAT = float(np.finfo(np.float32).max)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
