"""Request bodies: read and unpacked within limits, so that no client can fill the memory."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from surnn_server.codes import ErrorCode, Refusal
from surnn_server.uploads import check_size

__all__ = ["Budget", "decompress", "read_body"]

_DETECT = 32 + zlib.MAX_WBITS
"""zlib tells gzip and zlib streams apart by itself."""
_OFF_LOOP = 1 << 16
"""Copying or unpacking fewer bytes than this takes less time than a thread costs."""


class Budget:
    """Bytes that all requests together may hold.

    Args:
        limit: more are refused.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def take(self, size: int) -> None:
        """Count bytes in. Raises `Refusal`."""
        if self.used + size > self._limit:
            raise Refusal(
                ErrorCode.AT_CAPACITY,
                f"requests of {self.used + size} bytes wait, expected at most {self._limit}: "
                "try again later",
            )
        self.used += size

    def give(self, size: int) -> None:
        """Count bytes out."""
        self.used -= size


@asynccontextmanager
async def read_body(request: Request, limit: int, budget: Budget) -> AsyncIterator[bytes]:
    """The body of a request, unpacked. Raises `Refusal` beyond either limit."""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "deflate"):
        raise Refusal(
            ErrorCode.INVALID_REQUEST,
            f"Content-Encoding is {encoding[:40]!r}, expected gzip or deflate",
        )
    length = request.headers.get("content-length", "")
    if length.isdecimal():
        check_size(int(length), limit)
    held = 0
    try:
        parts: list[bytes] = []
        size = 0
        async for part in request.stream():
            size += len(part)
            check_size(size, limit)
            budget.take(len(part))
            held += len(part)
            parts.append(part)
        large = size >= _OFF_LOOP
        body = await asyncio.to_thread(b"".join, parts) if large else b"".join(parts)
        parts.clear()
        if encoding in ("gzip", "deflate"):
            if len(body) < _OFF_LOOP:
                body = decompress(body, limit)
            else:
                body = await asyncio.to_thread(decompress, body, limit)
            budget.take(len(body))
            held += len(body)
        yield body
    finally:
        budget.give(held)


def decompress(data: bytes, limit: int) -> bytes:
    """What gzip or zlib packed. Raises `Refusal`, as soon as it gets larger than the limit."""
    unpacker = zlib.decompressobj(_DETECT)
    try:
        body = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise Refusal(
            ErrorCode.INVALID_REQUEST, f"body cannot be unpacked ({error}), expected gzip or zlib"
        ) from None
    check_size(len(body), limit)
    if not unpacker.eof or unpacker.unused_data:
        seen = "ends too early" if not unpacker.eof else "goes on after its end"
        raise Refusal(ErrorCode.INVALID_REQUEST, f"packed body {seen}, expected one whole stream")
    return body
