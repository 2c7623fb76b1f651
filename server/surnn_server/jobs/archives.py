"""Archives of recordings, whoever made them: nothing in them is believed before it was counted.

Names inside an archive never become paths: they are only what results call the files.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, BinaryIO

from surnn_server.codes import ErrorCode, Refusal

__all__ = ["BLOCK", "FULL_DISK", "ArchiveLimits", "is_archive", "members"]

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
"""Errors that are the disk's, not the archive's."""
BLOCK = 1 << 14
"""What is read at once. Headers of tar archives that are longer are refused."""
_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2")
_NESTED = (*_SUFFIXES, ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".lz4")
_FREE_BYTES = 64 << 20
"""Any archive may unpack to this much; more only in proportion to its own size."""
_RATIO = 100
_DIRECTORY_BYTES = 256
"""Of a zip archive's directory, for each file: what is longer is refused before it is read."""
_MAX_NAME = 1024


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may hold."""

    files: int
    bytes: int
    """Unpacked, all together."""


def is_archive(name: str) -> bool:
    """Does the name say that it is one?"""
    return name.lower().endswith(_SUFFIXES)


def members(file: BinaryIO, name: str, limits: ArchiveLimits) -> Iterator[tuple[str, IO[bytes]]]:
    """Names and contents of the recordings in an archive, to be read one after the other.

    Folders and the hidden files of desktops are passed over. Raises `Refusal`, also while a
    content is read: on damage, on names that leave the archive, on links, on other archives, and
    on more files or bytes than the limits or the archive's own size allow.
    """
    size = file.seek(0, 2)
    file.seek(0)
    meter = _Meter(name, limits, size)
    with _damage(name):
        if name.lower().endswith(".zip"):
            yield from _zip_members(file, name, limits, meter)
            return
        if name.lower().endswith(".tar"):
            yield from _tar_members(file, name, meter)
            return
        opener = gzip.open if name.lower().endswith((".gz", ".tgz")) else bz2.open
        # A packed stream cannot go back, which reading a tar archive needs.
        with opener(file, "rb") as packed, tempfile.TemporaryFile() as plain:
            while block := packed.read(BLOCK):
                meter.count_bytes(len(block))
                plain.write(block)
            plain.seek(0)
            meter.total = 0
            yield from _tar_members(plain, name, meter)


class _Meter:
    """Counts what comes out of an archive."""

    def __init__(self, archive: str, limits: ArchiveLimits, packed: int) -> None:
        self.archive = archive
        self.total = 0
        self._files = self._entries = 0
        self._limits = limits
        self._allowed = min(limits.bytes, _FREE_BYTES + _RATIO * packed)

    def count_bytes(self, size: int) -> None:
        self.total += size
        if self.total > self._allowed:
            raise _refused(
                f"{self.archive} unpacks to {self.total} bytes or more, "
                f"expected at most {self._allowed}",
                ErrorCode.UPLOAD_TOO_BIG,
            )

    def count_entry(self) -> None:
        self._entries += 1
        # Entries that are passed over cost time too.
        self._check(self._entries, 2 * self._limits.files + 100)

    def count_file(self) -> None:
        self._files += 1
        self._check(self._files, self._limits.files)

    def _check(self, seen: int, limit: int) -> None:
        if seen > limit:
            raise _refused(
                f"{self.archive} holds more than {limit} entries, expected fewer",
                ErrorCode.UPLOAD_TOO_BIG,
            )


class _Content:
    """A member's bytes, counted as they come."""

    def __init__(self, file: IO[bytes], meter: _Meter) -> None:
        self._file = file
        self._meter = meter

    def read(self, size: int = BLOCK) -> bytes:
        with _damage(self._meter.archive):
            data = self._file.read(min(size, BLOCK))
        self._meter.count_bytes(len(data))
        return data


class _Guarded:
    """A file that refuses to be read in large pieces, which lying headers ask for."""

    def __init__(self, file: IO[bytes], name: str, limit: int) -> None:
        self._file = file
        self._name = name
        self._limit = limit

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._limit + 1) if size < 0 else b""
        if max(size, len(data)) > self._limit:
            raise _refused(
                f"{self._name} has a header of {max(size, len(data))} bytes, "
                f"expected at most {self._limit}"
            )
        return data if size < 0 else self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


def _zip_members(
    file: BinaryIO, name: str, limits: ArchiveLimits, meter: _Meter
) -> Iterator[tuple[str, IO[bytes]]]:
    guarded = _Guarded(file, name, max(1 << 20, _DIRECTORY_BYTES * limits.files))
    with zipfile.ZipFile(guarded) as archive:
        for info in archive.infolist():
            meter.count_entry()
            member = _member_name(info.filename, name)
            if info.is_dir() or _hidden(member):
                continue
            kind = (info.external_attr >> 16) & 0xF000
            if kind not in (0, 0x8000):
                raise _refused(f"{name} holds {member!r}, a link or device, expected plain files")
            if info.flag_bits & 1:
                raise _refused(f"{name} is encrypted, expected an open archive")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _refused(
                    f"{name} is packed by method {info.compress_type}, expected deflate or none"
                )
            meter.count_file()
            with archive.open(info) as content:
                yield member, _Content(content, meter)  # type: ignore[misc]


def _tar_members(file: IO[bytes], name: str, meter: _Meter) -> Iterator[tuple[str, IO[bytes]]]:
    guarded = _Guarded(file, name, BLOCK)
    with tarfile.open(fileobj=guarded, mode="r:") as archive:  # type: ignore[call-overload]
        while (info := archive.next()) is not None:
            archive.members.clear()
            meter.count_entry()
            member = _member_name(info.name, name)
            if info.isdir() or _hidden(member):
                continue
            if not info.isreg() or info.issparse() or info.size < 0:
                raise _refused(f"{name} holds {member!r}, a link or device, expected plain files")
            meter.count_file()
            content = archive.extractfile(info)
            assert content is not None, "a plain file has a content"
            yield member, _Content(content, meter)  # type: ignore[misc]


def _member_name(raw: str, archive: str) -> str:
    name = "".join(c if c.isprintable() else "_" for c in raw.replace("\\", "/"))[: _MAX_NAME + 1]
    path = PurePosixPath(name)
    shown = repr(name if len(name) <= 80 else f"{name[:77]}...")
    if path.is_absolute() or ".." in path.parts or name[1:2] == ":" or len(name) > _MAX_NAME:
        raise _refused(f"{archive} holds {shown}, expected names inside the archive")
    if not raw.endswith(("/", "\\")) and path.name.lower().endswith(_NESTED):
        raise _refused(f"{archive} holds {shown}, an archive itself, expected recordings")
    return str(path)


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


@contextmanager
def _damage(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise
        raise _cannot_be_unpacked(name, error) from None
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        struct.error,
        EOFError,
        ValueError,
        OverflowError,
        # What the libraries make of methods they do not know and of headers without end.
        RuntimeError,
    ) as error:
        raise _cannot_be_unpacked(name, error) from None


def _cannot_be_unpacked(name: str, error: Exception) -> Refusal:
    return _refused(
        f"{name} cannot be unpacked ({type(error).__name__}), expected a whole .zip, .tar, "
        ".tar.gz or .tar.bz2"
    )


def _refused(message: str, code: ErrorCode = ErrorCode.INVALID_ARCHIVE) -> Refusal:
    return Refusal(code, message)
