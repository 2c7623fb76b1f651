"""Sending recorded data as a live source would: each chunk when its last sample has been heard.

The schedule is absolute: chunk n is due at its own place in the stream, counted from the start,
so that small delays do not add up over hours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from surnn_client.exceptions import InvalidArgument

__all__ = ["paced", "paced_async", "pieces"]

_Sized = TypeVar("_Sized", bytes, bytearray, memoryview)


def pieces(data: _Sized, size: int) -> Iterator[_Sized]:
    """The data in pieces of `size` bytes, the last one perhaps shorter."""
    if size < 1:
        raise InvalidArgument(f"piece size is {size}, expected at least 1 byte")
    for start in range(0, len(data), size):
        yield data[start : start + size]


def paced(
    chunks: Iterable[_Sized],
    bytes_per_second: float,
    *,
    speed: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[_Sized]:
    """Give each chunk when it is due; at `speed` 2.0 in half the time.

    A consumer that falls behind gets the chunks it missed at once.
    """
    due = _schedule(bytes_per_second, speed)
    began = clock()
    for chunk in chunks:
        wait = began + due(len(chunk)) - clock()
        if wait > 0:
            sleep(wait)
        yield chunk


async def paced_async(
    chunks: Iterable[_Sized],
    bytes_per_second: float,
    *,
    speed: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> AsyncIterator[_Sized]:
    """The same for asyncio."""
    due = _schedule(bytes_per_second, speed)
    began = clock()
    for chunk in chunks:
        wait = began + due(len(chunk)) - clock()
        if wait > 0:
            await sleep(wait)
        yield chunk


def _schedule(bytes_per_second: float, speed: float) -> Callable[[int], float]:
    """Seconds from the start until the end of the next chunk, given its size."""
    rate = bytes_per_second * speed
    if not 0 < rate < float("inf"):
        raise InvalidArgument(
            f"{bytes_per_second:g} bytes a second at speed {speed:g}, expected more than 0"
        )
    sent = 0

    def due(count: int) -> float:
        nonlocal sent
        sent += count
        return sent / rate

    return due
