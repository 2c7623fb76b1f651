"""Clients that do wrong, straight at the server, each with the only answer that is right."""

from __future__ import annotations

import asyncio
import base64
import collections
import contextlib
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from surnn.snapshot import Snapshot
from surnn_server.tokens import TokenSealer, new_key

__all__ = ["VANDALS", "Counts", "Tokens", "run_vandal"]

_TIMEOUT_S = 60.0
"""Above what a machine with other work can make of it: what hangs is found all the same."""
_SAMPLES = bytes(6400)


@dataclass
class Counts:
    """What was tried, and how it went."""

    tried: collections.Counter[str] = field(default_factory=collections.Counter)
    answered: collections.Counter[str] = field(default_factory=collections.Counter)
    """As they should be."""
    interrupted: collections.Counter[str] = field(default_factory=collections.Counter)
    """By the end of the server, or of the connection: no answer to judge."""
    wrong: list[str] = field(default_factory=list)


class Tokens:
    """Tokens of all kinds, made with the server's own key.

    Args:
        key: of the server.
        ttl_s: of its tokens.
    """

    def __init__(self, key: str, ttl_s: float) -> None:
        self._sealer = TokenSealer([key], ttl_s)
        self._old = TokenSealer([key], ttl_s, clock=lambda: time.time() - ttl_s - 60.0)
        self._foreign = TokenSealer([new_key()], ttl_s)
        self.snapshot: Snapshot | None = None
        """Of a real session; None: there was none yet."""

    def learn(self, token: str) -> None:
        """Take the session in a token as an example."""
        self.snapshot = self._sealer.open(token)

    def good(self) -> str:
        """One that opens."""
        return self.seal(self._example())

    def seal(self, snapshot: Snapshot) -> str:
        """A session that the server will take for its own."""
        return self._sealer.seal(snapshot)

    def expired(self) -> str:
        """One that was sealed too long ago."""
        return self._old.seal(self._example())

    def foreign(self) -> str:
        """One that was sealed with another key."""
        return self._foreign.seal(self._example())

    def altered(self, chance: random.Random) -> str:
        """One in which a single bit is not what it was."""
        data = bytearray(base64.urlsafe_b64decode(self.good()))
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        return base64.urlsafe_b64encode(data).decode()

    def _example(self) -> Snapshot:
        assert self.snapshot is not None, "a session was saved first"
        return self.snapshot


class Scene:
    """Where a vandal acts."""

    def __init__(self, port: int, tokens: Tokens, chance: random.Random) -> None:
        self.port = port
        self.tokens = tokens
        self.chance = chance

    def dial(self) -> connect:
        """A WebSocket."""
        return connect(
            f"ws://127.0.0.1:{self.port}/v1/stream",
            compression=None,
            proxy=None,
            max_queue=None,
            open_timeout=None,  # the vandal's own limit counts
        )

    async def refused(self, *frames: str | bytes) -> str:
        """The code of the error that all this ends with, `done` without one."""
        async with self.dial() as websocket:
            with contextlib.suppress(ConnectionClosed):
                for frame in frames:
                    await websocket.send(frame)
            return await _last_word(websocket)


async def _last_word(websocket: ClientConnection) -> str:
    code = ""
    with contextlib.suppress(ConnectionClosed):
        async for text in websocket:
            message = json.loads(text)
            if message["type"] == "error":
                code = str(message["code"])
            elif message["type"] == "summary":
                code = "done"
    return code


def _start(**options: object) -> str:
    return json.dumps({"type": "start", "model": "vad", **options})


async def _nan(scene: Scene) -> str:
    samples = np.zeros(1600, np.float32)
    samples[scene.chance.randrange(1600)] = scene.chance.choice((np.nan, np.inf, 1e30))
    return await scene.refused(_start(encoding="pcm_f32le"), samples.tobytes())


async def _garbage(scene: Scene) -> str:
    return await scene.refused(_start(), scene.chance.randbytes(99).decode("latin-1"))


async def _order(scene: Scene) -> str:
    return await scene.refused(scene.chance.choice((_SAMPLES, '{"type": "end"}')))


async def _resume(scene: Scene, token: str, **options: object) -> str:
    return await scene.refused(json.dumps({"type": "start", "resume": token, **options}))


async def _too_fast(scene: Scene) -> str:
    # More than may wait in one go: nothing is computed between the frames of one write.
    return await scene.refused(_start(sample_rate=8000), *[bytes(1 << 19)] * 3)


async def _fork(scene: Scene) -> str:
    end = json.dumps({"type": "end"})
    start = json.dumps({"type": "start", "resume": scene.tokens.good()})
    return await scene.refused(start, _SAMPLES, end)


async def _vanish(scene: Scene) -> str:
    """Gone in the middle of a stream, without a word."""
    async with scene.dial() as websocket:
        await websocket.send(_start())
        for _ in range(scene.chance.randrange(10)):
            await websocket.send(_SAMPLES)
        websocket.transport.abort()
    return "gone"


async def _half_frame(scene: Scene) -> str:
    """Gone in the middle of a frame that was announced."""
    async with scene.dial() as websocket:
        await websocket.send(_start())
        await websocket.recv()
        websocket.transport.write(b"\x82\xfe\x10\x00" + bytes(100))
        await asyncio.sleep(scene.chance.uniform(0.0, 0.2))
        websocket.transport.abort()
    return "gone"


async def _no_handshake(scene: Scene) -> str:
    """A socket on which no whole request ever comes."""
    _, writer = await asyncio.open_connection("127.0.0.1", scene.port)
    writer.write(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgr")
    await asyncio.sleep(scene.chance.uniform(0.0, 3.0))
    writer.transport.abort()
    return "gone"


async def _deaf(scene: Scene) -> str:
    """Asks for much and reads nothing."""
    async with scene.dial() as websocket:
        await websocket.send(_start(report="frame"))
        websocket.transport.pause_reading()
        marker = json.dumps({"type": "marker", "id": "\1" * 250})
        try:
            async with asyncio.timeout(10):
                for _ in range(20_000):
                    await websocket.send(marker)
        except (TimeoutError, ConnectionClosed, OSError):
            pass
        websocket.transport.abort()
    return "gone"


async def _upload(scene: Scene) -> str:
    """A file that is none."""
    kind = scene.chance.choice((b"RIFF", b"fLaC", b"OggS", b""))
    files = {"files": ("a.wav", kind + scene.chance.randbytes(2000))}
    return await _post(scene, "/v1/score?model=vad", files=files)


async def _sequence(scene: Scene) -> str:
    """A sequence of /v2 that is begun and never ended."""
    request = {
        "inputs": [{"name": "audio", "datatype": "FP32", "shape": [1, 800], "data": [0.0] * 800}],
        "parameters": {"sequence_id": scene.chance.randrange(1, 1 << 30), "sequence_start": True},
    }
    return await _post(scene, "/v2/models/vad/infer", json=request)


async def _post(scene: Scene, path: str, **content: object) -> str:
    async with httpx.AsyncClient(trust_env=False, timeout=_TIMEOUT_S) as client:
        answer = await client.post(f"http://127.0.0.1:{scene.port}{path}", **content)  # type: ignore[arg-type]
    body = answer.json()
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        return str(body["error"]["code"])
    return str(answer.status_code)


Vandal = Callable[[Scene], Awaitable[str]]
VANDALS: dict[str, tuple[Vandal, frozenset[str]]] = {
    "NaN, infinity or absurd samples": (_nan, frozenset({"invalid_audio"})),
    "garbage instead of JSON": (_garbage, frozenset({"invalid_json"})),
    "messages out of order": (_order, frozenset({"unexpected_message"})),
    "more than may wait": (_too_fast, frozenset({"sent_too_fast"})),
    "token that is none": (
        lambda s: _resume(s, s.chance.randbytes(60).hex()),
        frozenset({"invalid_token"}),
    ),
    "token with one bit changed": (
        lambda s: _resume(s, s.tokens.altered(s.chance)),
        frozenset({"invalid_token"}),
    ),
    "token of another key": (
        lambda s: _resume(s, s.tokens.foreign()),
        frozenset({"invalid_token"}),
    ),
    "token that has expired": (
        lambda s: _resume(s, s.tokens.expired()),
        frozenset({"token_expired"}),
    ),
    "token replayed for another model": (
        lambda s: _resume(s, s.tokens.good(), model="activity"),
        frozenset({"wrong_model"}),
    ),
    "token used by two (a fork)": (_fork, frozenset({"done"})),
    "client gone without a word": (_vanish, frozenset({"gone"})),
    "client gone within a frame": (_half_frame, frozenset({"gone"})),
    "handshake never finished": (_no_handshake, frozenset({"gone"})),
    "client that reads nothing": (_deaf, frozenset({"gone"})),
    "upload that is no audio": (_upload, frozenset({"invalid_audio"})),
    "/v2 sequence never ended": (_sequence, frozenset({"200"})),
}
"""What each one does, and the answers that are right."""
_BUSY = frozenset({"draining", "at_capacity", "503", ""})
"""What anyone may be told while the server is full, or ends."""


async def run_vandal(name: str, scene: Scene, counts: Counts) -> None:
    """Do it once, and keep count."""
    vandal, right = VANDALS[name]
    counts.tried[name] += 1
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            answer = await vandal(scene)
    except (TimeoutError, httpx.TimeoutException):
        counts.wrong.append(f"{name}: no answer within {_TIMEOUT_S:g} s")
        return
    except (OSError, WebSocketException, httpx.HTTPError, EOFError):
        counts.interrupted[name] += 1
        return
    if answer in right:
        counts.answered[name] += 1
    elif answer in _BUSY:
        counts.interrupted[name] += 1
    else:
        counts.wrong.append(f"{name}: {answer}, expected {sorted(right)}")
