"""What callers send, as bytes: bytes-like objects and arrays, checked against the encoding."""

from __future__ import annotations

from typing import Any

from surnn_client.exceptions import InvalidArgument

__all__ = ["WIDTH", "Samples", "as_bytes"]

# Arrays come in through the buffer protocol, which typing can only name from Python 3.12 on.
Samples = bytes | bytearray | memoryview | Any

WIDTH = {
    "pcm_s16le": 2,
    "pcm_s24le": 3,
    "pcm_s32le": 4,
    "pcm_f32le": 4,
    "pcm_u8": 1,
    "mulaw": 1,
    "alaw": 1,
    "f32le": 4,
}
"""Bytes of one sample of one channel, by encoding."""

_ITEMS = {
    "pcm_s16le": "h",
    "pcm_s32le": "il",
    "pcm_f32le": "f",
    "f32le": "f",
}
"""Array types (as in the `struct` module) that may be sent as they are, by encoding."""


def as_bytes(data: Samples, encoding: str) -> memoryview:
    """The bytes of `data`, without a copy.

    Arrays must hold what the encoding says: a float array sent as `pcm_s16le` would be noise.
    Raises `InvalidArgument`.
    """
    try:
        view = memoryview(data)
    except TypeError:
        raise InvalidArgument(
            f"data is {type(data).__name__}, expected bytes or a contiguous array"
        ) from None
    item = view.format.lstrip("@=<")
    if item not in ("B", "b", "c") and item not in _ITEMS.get(encoding, ""):
        raise InvalidArgument(
            f"data is an array of {view.format!r} items, expected "
            f"{_ITEMS.get(encoding, 'bytes')!r} for the encoding {encoding}"
        )
    if not view.c_contiguous:
        raise InvalidArgument("data is an array with strides, expected a contiguous one")
    # An empty view with a zero in its shape cannot be cast.
    return view.cast("B") if view.nbytes else memoryview(b"")
