"""Where the bytes of a file come from: a path, or something open that an upload left behind."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import BinaryIO

from surnn.errors import InvalidAudio

__all__ = ["Source", "open_source", "source_name"]

Source = str | os.PathLike[str] | tuple[str, BinaryIO]
"""A path, or a name and an open binary file that can seek (an upload, a `BytesIO`)."""


def source_name(source: Source) -> str:
    """What a source is called in results: the path as it was given, or an upload's name."""
    return source[0] if isinstance(source, tuple) else os.fspath(source)


def open_source(source: Source, name: str | None) -> tuple[BinaryIO, str, bool]:
    """An open file, its name without folders, and whether it was opened here.

    Raises `InvalidAudio` when there is no such file, it cannot be read or cannot seek, or is
    empty.
    """
    if isinstance(source, tuple):
        label, file, ours = PurePath(name or source[0]).name, source[1], False
    else:
        label, ours = PurePath(name or source).name, True
        try:
            file = open(source, "rb")  # noqa: SIM115  whoever asked for it closes it
        except OSError as error:
            raise InvalidAudio(
                f"{label} cannot be opened ({error.strerror}), expected a readable file"
            ) from None
    try:
        if not file.seekable():
            raise InvalidAudio(f"{label} cannot seek, expected a file and not a pipe")
        file.seek(0, os.SEEK_END)
        if not file.tell():
            raise InvalidAudio(f"{label} is empty (0 bytes), expected a recording")
        file.seek(0)
    except BaseException:
        if ours:
            file.close()
        raise
    return file, label, ours
