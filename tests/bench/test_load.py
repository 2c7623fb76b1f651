"""The load generator: frames, pacing against a small server, percentiles, the search."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.server import ServerConnection, serve

from surnn.bench.capacity import search
from surnn.bench.load import LoadResult, LoadTest, percentile, play
from surnn.bench.websocket import BINARY, TEXT, encode_frame, split_frames


def server_frame(payload: bytes) -> bytes:
    masked = encode_frame(TEXT, payload)
    size = 2 + (0 if len(payload) < 126 else 2 if len(payload) < 1 << 16 else 8)
    return bytes([masked[0], masked[1] & 0x7F]) + masked[2:size] + payload


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_frames_split_anywhere(size: int) -> None:
    data = server_frame(b"x" * size) + server_frame(b"end")
    for cut in (0, 1, 2, 3, 5, len(data) - 1, len(data)):
        first, rest = split_frames(data[:cut])
        second, rest = split_frames(rest + data[cut:])
        assert first + second == [(TEXT, b"x" * size), (TEXT, b"end")]
        assert rest == b""


def test_percentile() -> None:
    values = [float(i) for i in range(100)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile(values, 1.0) == 99
    assert percentile([], 0.5) is None


async def answer(connection: ServerConnection, hold_back: int, seen: list[int]) -> None:
    """A stand-in server: counts samples, reports all but the last `hold_back` of them."""
    await connection.recv()
    await connection.send(json.dumps({"type": "ready"}, separators=(",", ":")))
    samples = 0
    async for message in connection:
        if isinstance(message, str):
            break
        samples += len(message) // 2
        seen.append(len(message))
        reply = {"type": "chunk", "end_sample": samples - hold_back, "frames": 1}
        await connection.send(json.dumps(reply, separators=(",", ":")))


def run_load(hold_back: int, lookahead: int) -> tuple[LoadResult, list[int]]:
    seen: list[int] = []

    async def run() -> LoadResult:
        async with serve(lambda c: answer(c, hold_back, seen), "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            test = LoadTest(
                host="127.0.0.1",
                port=port,
                model="any",
                streams=3,
                seconds=0.2,
                warm_up_s=0.1,
                pcm=bytes(16_000),
                chunk_ms=50,
                lookahead=lookahead,
            )
            return await play(test)

    return asyncio.run(run()), seen


@pytest.mark.parametrize("hold_back", [0, 100])
def test_every_chunk_is_sent_and_answered(hold_back: int) -> None:
    result, seen = run_load(hold_back, lookahead=hold_back)
    assert seen == [1600] * 18
    assert result.lost == 0
    assert result.errors == []
    assert len(result.latencies_ms) == len(result.sending_late_ms) >= 12
    assert min(result.latencies_ms) > 0


def test_missing_results_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surnn.bench.load._GRACE_S", 0.2)
    result, _ = run_load(hold_back=100, lookahead=0)
    assert result.lost == 3


def test_refused_upgrade_is_an_error() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Busy\r\n\r\n")
        writer.close()

    async def run() -> None:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await play(LoadTest("127.0.0.1", port, "any", 1, 0.1, bytes(6400)))

    with pytest.raises(ConnectionError, match="503 Busy"):
        asyncio.run(run())


@pytest.mark.parametrize("true_limit", [0, 1, 7, 150, 200, 999, 1000])
def test_search_finds_the_limit(true_limit: int) -> None:
    tried: list[int] = []

    def holds(count: int) -> bool:
        tried.append(count)
        return count <= true_limit

    found = search(holds, start=100, limit=1000, resolution=0.1)
    assert 0.9 * true_limit - 1 <= found <= true_limit
    assert len(tried) < 14
    assert max(tried) <= 1000


def test_binary_frames_are_masked_with_zeros() -> None:
    assert encode_frame(BINARY, b"ab") == bytes([0x82, 0x82, 0, 0, 0, 0]) + b"ab"
