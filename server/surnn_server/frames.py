"""WebSocket frames as streams use them (RFC 6455): whole binary messages in, whole texts out.

A thousand streams send ten thousand messages a second, so the usual frame takes this short way.
Everything else is left to the websockets library, which the tests compare this with.
"""

from __future__ import annotations

from collections.abc import Iterable

try:
    from websockets.speedups import apply_mask
except ImportError:  # built without a C compiler
    from websockets.utils import apply_mask

__all__ = ["BINARY_MESSAGE", "Extent", "frame_extent", "text_frames", "unmasked"]

BINARY_MESSAGE = 0x82
"""First byte of a frame that is a whole binary message."""
_TEXT_MESSAGE = 0x81
_MASKED = 0x80
_SHORT, _LONG = 126, 127

Extent = tuple[int, int]
"""Where a frame's payload begins and ends."""


def frame_extent(data: bytes | bytearray, at: int) -> Extent | None:
    """Where the payload of the client's frame at `at` lies; None: its head has not all arrived.

    The four bytes before the payload are its mask. The end may lie beyond the data.
    """
    left = len(data) - at
    if left < 2:
        return None
    size, begin = data[at + 1], at + 2
    masked, size = size & _MASKED, size & ~_MASKED
    if size >= _SHORT:
        width = 2 if size == _SHORT else 8
        if left < 2 + width:
            return None
        size, begin = int.from_bytes(data[begin : begin + width], "big"), begin + width
    if masked:
        begin += 4
    return begin, begin + size


def unmasked(data: bytes | bytearray, extent: Extent) -> bytes:
    """The payload of a masked frame."""
    begin, end = extent
    return apply_mask(bytes(data[begin:end]), bytes(data[begin - 4 : begin]))


def text_frames(payloads: Iterable[bytes]) -> bytes:
    """A server's frames, each a whole text message, one after the other."""
    parts: list[bytes] = []
    for payload in payloads:
        size = len(payload)
        if size < _SHORT:
            head = bytes((_TEXT_MESSAGE, size))
        elif size < 1 << 16:
            head = bytes((_TEXT_MESSAGE, _SHORT, size >> 8, size & 0xFF))
        else:
            head = bytes((_TEXT_MESSAGE, _LONG)) + size.to_bytes(8, "big")
        parts += head, payload
    return b"".join(parts)
