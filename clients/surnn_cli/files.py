"""Which files a command was given: files as they are, folders searched for recordings."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from surnn_cli.errors import CommandError

__all__ = ["find_files"]


def find_files(paths: Sequence[Path], *, sensor: bool | None) -> list[Path]:
    """All files, those of each folder in order of their names.

    `sensor` says what the model hears: tables and arrays, or audio; None: both count.
    Raises `CommandError` when a path does not exist or a folder holds nothing fitting.
    """
    from surnn.errors import InvalidInput
    from surnn.evaluate import audio_files
    from surnn.sensorfile import SUFFIXES

    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise CommandError(f"no file {path}, expected a recording or a folder of them")
        if not path.is_dir():
            found.append(path)
            continue
        inside: list[Path] = []
        if sensor is not True:
            with suppress(InvalidInput):  # a folder without audio may hold tables
                inside += [path / name for name in audio_files(path)]
        if sensor is not False:
            tables = (p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            inside += [p for p in tables if p.name != "segments.csv"]
        if not inside:
            kind = "sensor tables" if sensor else "audio" if sensor is False else "recordings"
            raise CommandError(f"{path} holds no {kind}, expected at least one file")
        found += sorted(inside)
    return found
