"""Reading uploaded files to disk, within limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import PureWindowsPath
from typing import BinaryIO

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.types import Message, Receive

from surnn_server.codes import ErrorCode, Refusal
from surnn_server.jobs.space import full_disk
from surnn_server.settings import Settings

__all__ = ["FIELDS", "check_size", "uploads"]

FIELDS = ("files", "file")
"""Form fields that hold files."""


@asynccontextmanager
async def uploads(
    request: Request, settings: Settings
) -> AsyncIterator[list[tuple[str, BinaryIO]]]:
    """The uploaded files of a multipart request; they are deleted on leaving. Raises `Refusal`."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        raise Refusal(
            ErrorCode.INVALID_REQUEST,
            f"content type is {kind[:80]!r}, expected 'multipart/form-data' with 'files'",
        )
    length = request.headers.get("content-length", "")
    if length.isdecimal():
        check_size(int(length), settings.max_upload_bytes)
    limited = Request(request.scope, _limited(request.receive, settings))
    async with AsyncExitStack() as stack:
        with full_disk("uploads"):
            form = await stack.enter_async_context(
                limited.form(max_files=settings.max_upload_files, max_fields=16)
            )
        unknown = sorted({name for name in form if name not in FIELDS})
        if unknown:
            raise Refusal(
                ErrorCode.INVALID_REQUEST, f"form has the fields {unknown}, expected 'files'"
            )
        sources: list[tuple[str, BinaryIO]] = []
        for _, item in form.multi_items():
            if not isinstance(item, UploadFile):
                raise Refusal(ErrorCode.INVALID_REQUEST, "'files' is text, expected a file")
            sources.append((_base_name(item.filename), item.file))
        if not sources:
            raise Refusal(ErrorCode.INVALID_REQUEST, "no file in the form, expected 'files'")
        yield sources


def _base_name(name: str | None) -> str:
    # Folders on the client's disk are nobody's business; Windows paths have both separators.
    return PureWindowsPath(name or "").name or "upload"


def _limited(receive: Receive, settings: Settings) -> Receive:
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        check_size(seen, settings.max_upload_bytes)
        return message

    return limited


def check_size(size: int, limit: int) -> None:
    """Raises `Refusal` for a body of so many bytes, or more, above the limit."""
    if size > limit:
        raise Refusal(
            ErrorCode.UPLOAD_TOO_BIG, f"body of {size} bytes or more, expected at most {limit}"
        )
