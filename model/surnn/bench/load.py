"""Paced streams against a server: every chunk at its own moment, whatever the server does.

Stream i sends chunk k at start + (k + 1) * chunk + i / N * chunk: when its audio would have been
recorded. A chunk's latency is from that moment to the arrival of the result that covers it, so a
sender that is late and a server that is slow both count. Frames that the model holds back on
purpose (its lookahead) count as covered by the result that could not hold them yet.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from surnn.bench.websocket import BINARY, TEXT, LoadStream, encode_frame

__all__ = ["LoadResult", "LoadTest", "percentile", "play"]

_SAMPLE = 2
_CONNECTING = 50
"""Handshakes in flight at once."""
_GRACE_S = 5.0
"""Wait for the last results."""
_END_SAMPLE = b'"end_sample":'


@dataclass(frozen=True)
class LoadTest:
    """What is to be played."""

    host: str
    port: int
    model: str
    streams: int
    seconds: float
    pcm: bytes
    """16-bit mono PCM at the model's rate; streams start at different points and repeat it."""
    sample_rate: int = 16_000
    lookahead: int = 0
    """Samples that the model holds back."""
    chunk_ms: int = 100
    warm_up_s: float = 2.0
    """Chunks due in the first seconds are not counted."""


@dataclass
class LoadResult:
    """What came back."""

    latencies_ms: list[float] = field(default_factory=list)
    sending_late_ms: list[float] = field(default_factory=list)
    lost: int = 0
    """Chunks without a result."""
    errors: list[str] = field(default_factory=list)
    wall_s: float = 0.0


class _Stream:
    """One stream's schedule and what has been answered of it."""

    def __init__(self, test: LoadTest, result: LoadResult, index: int) -> None:
        self._test, self._result = test, result
        self._samples = test.sample_rate * test.chunk_ms // 1000
        self.index = index
        self.answered = 0
        """Chunks covered by results."""
        self.expected = 0
        self.first_due = 0.0
        self.counted_from = 0.0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.connection = LoadStream(f"{test.host}:{test.port}", "/v1/stream", self.receive)

    def due(self, chunk: int) -> float:
        """When the audio of a chunk ends."""
        return self.first_due + chunk * self._test.chunk_ms / 1000

    def receive(self, message: bytes) -> None:
        now = time.perf_counter()
        at = message.find(_END_SAMPLE)
        if at >= 0 and b'"type":"chunk"' in message:
            at += len(_END_SAMPLE)
            end = at
            while message[end : end + 1].isdigit():
                end += 1
            covered = (int(message[at:end]) + self._test.lookahead) // self._samples
            for chunk in range(self.answered, covered):
                due = self.due(chunk)
                if due >= self.counted_from:
                    self._result.latencies_ms.append((now - due) * 1000)
            self.answered = max(self.answered, covered)
            if self.answered >= self.expected and not self.finished.done():
                self.finished.set_result(None)
        elif b'"type":"ready"' in message and not self.ready.done():
            self.ready.set_result(None)
        elif b'"type":"error"' in message:
            text = message.decode(errors="replace")
            self._result.errors.append(text)
            if not self.ready.done():
                self.ready.set_exception(ConnectionError(text))


async def play(test: LoadTest) -> LoadResult:
    """Run a load test. Raises `ConnectionError` when a stream cannot be opened."""
    result = LoadResult()
    streams = [_Stream(test, result, i) for i in range(test.streams)]
    gate = asyncio.Semaphore(_CONNECTING)
    opening = [asyncio.create_task(_open(stream, test, gate)) for stream in streams]
    try:
        await asyncio.gather(*opening)
    except OSError:
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        for stream in streams:
            stream.connection.cut()
        raise
    chunk = test.chunk_ms / 1000
    count = int((test.warm_up_s + test.seconds) / chunk)
    begin = time.perf_counter() + 2 * chunk
    for stream in streams:
        stream.expected = count
        stream.first_due = begin + chunk * (1 + stream.index / test.streams)
        stream.counted_from = begin + test.warm_up_s
    await _send(test, streams, result, count)
    result.wall_s = time.perf_counter() - begin
    await asyncio.wait([stream.finished for stream in streams], timeout=_GRACE_S)
    result.lost = sum(max(0, count - stream.answered) for stream in streams)
    for stream in streams:
        stream.connection.write(encode_frame(TEXT, b'{"type":"end"}'))
    await asyncio.wait([s.connection.closed for s in streams], timeout=_GRACE_S)
    return result


async def _open(stream: _Stream, test: LoadTest, gate: asyncio.Semaphore) -> None:
    async with gate:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: stream.connection, test.host, test.port)
        await asyncio.wait_for(stream.connection.opened, 30)
        start = {"type": "start", "model": test.model, "sample_rate": test.sample_rate}
        stream.connection.write(encode_frame(TEXT, json.dumps(start).encode()))
        await asyncio.wait_for(asyncio.shield(stream.ready), 30)


async def _send(test: LoadTest, streams: Sequence[_Stream], result: LoadResult, count: int) -> None:
    """Send every chunk when it is due; streams in order of their phase."""
    size = test.sample_rate * test.chunk_ms // 1000 * _SAMPLE
    pcm = test.pcm
    frames = [encode_frame(BINARY, pcm[i : i + size]) for i in range(0, len(pcm) - size + 1, size)]
    for chunk in range(count):
        for stream in streams:
            due = stream.due(chunk)
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            elif stream.index % 16 == 0:
                await asyncio.sleep(0)  # behind: results must be read all the same
            stream.connection.write(frames[(chunk + 7 * stream.index) % len(frames)])
            if due >= stream.counted_from:
                result.sending_late_ms.append((time.perf_counter() - due) * 1000)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of the values does not exceed."""
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3)
