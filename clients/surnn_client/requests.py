"""What REST requests hold and how their errors are told. No I/O but the size of a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import httpx
import orjson

from surnn_client.exceptions import (
    ClientError,
    ConnectionFailed,
    ConnectionLost,
    InvalidArgument,
    server_error,
)

__all__ = ["File", "batches", "check_status", "file_name", "query", "upload", "wire_error"]

File = str | os.PathLike[str] | tuple[str, bytes | IO[bytes]]
"""A path, or a name and the contents: bytes or an open binary file."""

# Bounds on one request: open files, and bytes that the server has to store meanwhile.
_BATCH_FILES = 16
_BATCH_BYTES = 256 << 20
_RETRY_STATUS = {408, 429, 502, 503, 504}


def file_name(file: File) -> str:
    """The path or name that the caller knows a file by."""
    return file[0] if isinstance(file, tuple) else os.fspath(file)


def upload(file: File) -> tuple[str, tuple[str, Any]]:
    """The form field of a file; a path is opened. Raises `InvalidArgument`."""
    if isinstance(file, tuple):
        return "files", (_base_name(file), file[1])
    try:
        return "files", (_base_name(file), Path(file).open("rb"))
    except OSError as error:
        raise InvalidArgument(
            f"{os.fspath(file)} cannot be opened ({error.strerror}), expected a readable file"
        ) from None


def batches(files: Iterable[File]) -> Iterator[dict[str, File]]:
    """Files by the names that the server will call them, a few for each request."""
    batch: dict[str, File] = {}
    size = 0
    for file in files:
        name, count = _base_name(file), _size(file)
        full = len(batch) == _BATCH_FILES or size + count > _BATCH_BYTES
        if batch and (full or name in batch):
            yield batch
            batch, size = {}, 0
        batch[name] = file
        size += count
    if batch:
        yield batch


def query(
    model: str,
    format: str,
    thresholds: Mapping[str, Mapping[str, float]] | None,
    sample_rate: int | None,
) -> dict[str, str]:
    """The query of `/v1/score`."""
    given = {"model": model, "format": format}
    if thresholds:
        given["thresholds"] = orjson.dumps(thresholds).decode()
    if sample_rate is not None:
        given["sample_rate"] = str(sample_rate)
    return given


def check_status(response: httpx.Response) -> None:
    """Raise what the server says is wrong. The body must have been read."""
    if response.is_success:
        return
    status = response.status_code
    try:
        error = orjson.loads(response.content)["error"]
        code, message = str(error["code"]), str(error["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ConnectionFailed(
            f"{response.url} answered HTTP {status}, expected a surnn server",
            retryable=status in _RETRY_STATUS,
        ) from None
    raise server_error(code, message, retryable=status in _RETRY_STATUS)


def wire_error(error: httpx.HTTPError | httpx.InvalidURL, address: str) -> ClientError:
    """Our error for one of httpx."""
    if isinstance(error, httpx.InvalidURL):
        return InvalidArgument(f"address is {address!r}, expected http://host:port: {error}")
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ConnectionFailed(f"cannot reach {address}: {error}", retryable=True)
    if isinstance(error, httpx.TimeoutException):
        return ConnectionLost(f"no answer from {address} in time", retryable=True)
    return ConnectionLost(f"connection to {address} failed: {error}", retryable=True)


def _base_name(file: File) -> str:
    return Path(file_name(file)).name


def _size(file: File) -> int:
    if not isinstance(file, tuple):
        try:
            return Path(file).stat().st_size
        except OSError:
            return 0  # opening it will tell
    contents = file[1]
    return len(contents) if isinstance(contents, bytes) else 0
