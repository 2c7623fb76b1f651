"""Messages on the short way and on the usual one: the same for the client, whatever it sends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from surnn_server.transport import StreamProtocol

START = b'{"type": "start", "model": "fake", "report": "frame", "checkpoint_interval_s": 0}'
END = b'{"type": "end"}'


@pytest.fixture(params=["direct", "usual"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The way that messages take from here on."""
    if request.param == "usual":
        monkeypatch.setattr(StreamProtocol, "_attach", lambda self, sink: None)
    return str(request.param)


def frame(opcode: Opcode, payload: bytes, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin).serialize(mask=True)


async def answers(server: Any, pieces: list[bytes]) -> list[tuple[int, bytes]]:
    """Send raw bytes in these pieces; the frames that come back, up to the close."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    key = b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /v1/stream HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.005)
    frames: list[tuple[int, bytes]] = []
    async with asyncio.timeout(10):
        while True:
            first, size = await reader.readexactly(2)
            if size > 125:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
            payload = await reader.readexactly(size)
            assert first & 0xF0 == 0x80, "no reserved bit, and every message in one frame"
            frames.append((first & 0x0F, payload))
            if first == 0x80 | Opcode.CLOSE:
                writer.write(frame(Opcode.CLOSE, payload[:2]))
                # Who was in the wrong is not waited for: the answer may find nobody.
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
                writer.close()
                return frames


async def talk(server: Any, pieces: list[bytes]) -> tuple[list[bytes], int]:
    """Send raw bytes in these pieces; the texts and the close code that come back."""
    *frames, (_, close) = await answers(server, pieces)
    return [payload for opcode, payload in frames if opcode == Opcode.TEXT], _code(close)


def _code(close: bytes) -> int:
    """0: none."""
    return int.from_bytes(close[:2], "big")


@pytest.fixture
def probs(server: Any) -> Callable[[list[bytes]], list[float]]:
    """The probabilities of a stream that is sent in these pieces."""
    import json

    def probs(pieces: list[bytes]) -> list[float]:
        texts, code = asyncio.run(talk(server, pieces))
        assert code == 1000, texts
        messages = [json.loads(text) for text in texts]
        assert [m["seq"] for m in messages] == list(range(len(messages)))
        found = [p for m in messages if m["type"] == "chunk" for p in m["probs"]["speech"]]
        return [float(p) for p in found]

    return probs


def pieces_of(data: bytes, sizes: Iterator[int]) -> list[bytes]:
    pieces = []
    while data:
        size = next(sizes)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def test_frames_may_come_in_any_pieces(way: str, probs: Any, make_pcm: Any) -> None:
    pcm = make_pcm(1, 0.5)
    message = [
        frame(Opcode.TEXT, START),
        frame(Opcode.BINARY, pcm[:101]),
        frame(Opcode.PING, b"?"),
        # One message in three frames, with a ping between them.
        frame(Opcode.BINARY, pcm[101:500], fin=False),
        frame(Opcode.CONT, pcm[500:501], fin=False),
        frame(Opcode.PING, b"??"),
        frame(Opcode.CONT, pcm[501:2000]),
        frame(Opcode.BINARY, b""),
        frame(Opcode.BINARY, pcm[2000:]),
        frame(Opcode.TEXT, END),
    ]
    whole = probs(message)
    assert len(whole) == 50
    data = b"".join(message)
    assert probs([data]) == whole
    sizes = iter([1, 2, 1, 3, 7, 1, 1, 1, 130, 1, 5] + [997] * 100)
    assert probs(pieces_of(data, sizes)) == whole


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(Opcode.BINARY, bytes(3 << 20))[:40], 1009),
        (Frame(Opcode.BINARY, b"xx").serialize(mask=False), 1002),
        (frame(Opcode.CONT, b"xx"), 1002),
        (frame(Opcode.BINARY, b"xx", fin=False) + frame(Opcode.BINARY, b"xx"), 1002),
        (frame(Opcode.TEXT, b"xx", fin=False) + frame(Opcode.TEXT, b"xx"), 1002),
        (b"\xf2\x80" + bytes(4), 1002),
        (b"\xc1\x80" + bytes(4), 1002),
        (b"\x92\x80" + bytes(4), 1002),
        (b"\x83\x80" + bytes(4), 1002),
        (b"\x8b\x80" + bytes(4), 1002),
        (b"\x89\xfe\x00\x7e" + bytes(4 + 126), 1002),
        (b"\x09\x80" + bytes(4), 1002),
        (frame(Opcode.TEXT, b"\xff"), 1007),
        (frame(Opcode.TEXT, b"\xf0\x9f", fin=False) + frame(Opcode.CONT, b"{}"), 1007),
        (frame(Opcode.TEXT, b"\xed\xa0\x80"), 1007),
        (frame(Opcode.CLOSE, b"\x03"), 1002),
        (frame(Opcode.CLOSE, b"\x03\xe7"), 1002),
        (frame(Opcode.CLOSE, b"\x03\xed"), 1002),
        (frame(Opcode.CLOSE, b"\x13\x88"), 1002),
        (frame(Opcode.CLOSE, b"\x03\xe8\xff"), 1007),
        (frame(Opcode.TEXT, b"{"), 4400),
    ],
    ids=[
        "huge",
        "unmasked",
        "continued",
        "interleaved",
        "interleaved texts",
        "reserved",
        "reserved text",
        "reserved binary",
        "opcode 3",
        "opcode 11",
        "long ping",
        "ping in pieces",
        "utf8",
        "utf8 in pieces",
        "surrogate",
        "half a close code",
        "close 999",
        "close 1005",
        "close 5000",
        "close reason",
        "json",
    ],
)
def test_what_is_wrong_is_refused_alike(
    way: str, server: Any, sent: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    _, seen = asyncio.run(talk(server, [frame(Opcode.TEXT, START), sent]))
    assert seen == code if code < 4000 else seen >= 4000
    server.wait_until_empty()
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR], "a fault of the client"


@pytest.mark.parametrize("code", [b"", b"\x03\xe8", b"\x0b\xb8", b"\x13\x87"])
def test_a_close_is_answered_and_ends_everything(way: str, server: Any, code: bytes) -> None:
    late = frame(Opcode.BINARY, bytes(640)) + frame(Opcode.PING, b"late")
    sent = [frame(Opcode.TEXT, START), frame(Opcode.CLOSE, code) + late]
    frames = asyncio.run(answers(server, sent))
    assert [payload for opcode, payload in frames if opcode == Opcode.CLOSE] == [code]
    assert Opcode.PONG not in [opcode for opcode, _ in frames]
    server.wait_until_empty()


def test_pings_and_pieces(way: str, server: Any) -> None:
    """Pings are answered as they came, also within a message; pongs that nobody asked for are not.

    A character may be cut by the pieces of its message.
    """
    marker = '{"type": "marker", "id": "\N{BAT}"}'.encode()
    cut = marker.index("\N{BAT}".encode()) + 2
    longest = bytes(range(125))
    sent = [
        frame(Opcode.TEXT, START),
        frame(Opcode.PING, b""),
        frame(Opcode.PONG, b"unasked"),
        frame(Opcode.TEXT, marker[:cut], fin=False),
        frame(Opcode.PING, longest),
        frame(Opcode.CONT, b"", fin=False),
        frame(Opcode.CONT, marker[cut:]),
        frame(Opcode.TEXT, END),
    ]
    frames = asyncio.run(answers(server, [b"".join(sent)]))
    assert [payload for opcode, payload in frames if opcode == Opcode.PONG] == [b"", longest]
    assert any("\N{BAT}".encode() in payload for _, payload in frames)
    assert _code(frames[-1][1]) == 1000


def test_samples_before_the_answer_to_the_request(way: str, probs: Any, make_pcm: Any) -> None:
    """Whoever sends at once what the handshake is for, finds it done."""
    pcm = make_pcm(2, 0.1)
    frames = [frame(Opcode.TEXT, START), frame(Opcode.BINARY, pcm), frame(Opcode.TEXT, END)]
    assert probs([b"".join(frames)]) == probs(frames)


def test_a_sink_that_is_full_is_served_later(way: str, run_server: Any, make_pcm: Any) -> None:
    pcm = make_pcm(3, 8.0)
    start = START.replace(b"}", b', "overflow": "block"}')
    frames = [frame(Opcode.BINARY, pcm[i : i + 640]) for i in range(0, len(pcm), 640)]
    data = frame(Opcode.TEXT, start) + b"".join(frames) + frame(Opcode.TEXT, END)
    with run_server(max_buffered_seconds=0.2) as server:
        texts, code = asyncio.run(talk(server, [data]))
    assert code == 1000
    assert b'"samples":128000' in texts[-1]
