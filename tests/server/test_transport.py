"""Messages on the short way and on the usual one: the same for the client, whatever it sends."""

from __future__ import annotations

import asyncio
import contextlib
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


async def talk(server: Any, pieces: list[bytes]) -> tuple[list[bytes], int]:
    """Send raw bytes in these pieces; the texts and the close code that come back."""
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
    texts: list[bytes] = []
    async with asyncio.timeout(10):
        while True:
            first, size = await reader.readexactly(2)
            if size > 125:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
            payload = await reader.readexactly(size)
            if first == 0x80 | Opcode.CLOSE:
                writer.write(frame(Opcode.CLOSE, payload[:2]))
                # Who was in the wrong is not waited for: the answer may find nobody.
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
                writer.close()
                return texts, int.from_bytes(payload[:2], "big")
            if first == 0x80 | Opcode.TEXT:
                texts.append(payload)


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
        (b"\xf2\x80" + bytes(4), 1002),
        (frame(Opcode.TEXT, b"\xff"), 1007),
        (frame(Opcode.TEXT, b"{"), 4400),
    ],
    ids=["huge", "unmasked", "continued", "interleaved", "reserved", "utf8", "json"],
)
def test_what_is_wrong_is_refused_alike(way: str, server: Any, sent: bytes, code: int) -> None:
    _, seen = asyncio.run(talk(server, [frame(Opcode.TEXT, START), sent]))
    assert seen == code if code < 4000 else seen >= 4000
    server.wait_until_empty()


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
