"""The short way of frames against the websockets library's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from surnn_server.frames import BINARY_MESSAGE, frame_extent, text_frames, unmasked

SIZES = st.sampled_from([0, 1, 125, 126, 127, 3200, 65535, 65536, 70_000])


def client_frame(payload: bytes) -> bytes:
    return Frame(Opcode.BINARY, payload).serialize(mask=True)


@given(size=SIZES, before=st.integers(0, 9), cut=st.integers(0, 20))
def test_a_clients_frame_is_found_and_unmasked(size: int, before: int, cut: int) -> None:
    payload = bytes(i * 7 % 256 for i in range(size))
    frame = client_frame(payload)
    head = len(frame) - size
    data = bytes(before) + frame
    extent = frame_extent(data, before)
    assert extent == (before + head, before + len(frame))
    assert data[before] == BINARY_MESSAGE
    assert unmasked(data, extent) == unmasked(bytearray(data), extent) == payload
    # Of a head that has not all arrived nothing is said; a mask may still be missing.
    part = data[: before + min(cut, len(frame))]
    seen = frame_extent(part, before)
    assert seen == extent or (seen is None and min(cut, len(frame)) < head - 4)


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_texts_are_what_the_library_would_send(size: int) -> None:
    texts = [b"x" * size, b"{}"]
    expected = b"".join(Frame(Opcode.TEXT, text).serialize(mask=False) for text in texts)
    assert text_frames(texts) == expected
