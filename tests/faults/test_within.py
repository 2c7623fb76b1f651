"""Faults within a server that lives on: a worker that breaks, clocks that jump, a full disk."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import tempfile
import threading
import time

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import surnn
from surnn_client import SessionExpired
from surnn_server import Settings, create_app
from surnn_server.dependencies import service_of
from surnn_server.serve import make_server


class Inside:
    """A server in a thread of this process, so that its inside can be broken."""

    def __init__(self, model, **settings):
        settings = Settings(port=0, log_level="warning", checkpoint_interval_s=0.2, **settings)
        app = create_app(settings, {"mortal": model})
        self._server = make_server(app, settings)
        self.service = service_of(app)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.005)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url, self.http = f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}"

    @property
    def worker(self):
        return self.service.workers["mortal"]

    def stop(self):
        self._server.should_exit = True
        self._thread.join(20)


@pytest.fixture
def inside(prepared):
    path, _, _ = prepared("native")
    servers = []

    def start(**settings):
        servers.append(Inside(surnn.load(str(path)), **settings))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


async def _until(condition):
    async with asyncio.timeout(300):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


native = pytest.mark.parametrize("faults", ["native"], indirect=True)


@native
def test_a_round_that_breaks_costs_nothing(faults, inside, monkeypatch, caplog):
    """All sessions of the round fail; their clients go on from the last checkpoints."""
    server = inside()
    told = [faults.told() for _ in faults.sounds]
    worker, broken = server.worker, []
    save = worker._rounds._save

    def fails(lines):
        if len(broken) < 3 and all(t.probs for t in told) and len(lines) > 1:
            broken.append(len(lines))
            raise MemoryError("no memory for a round")
        return save(lines)

    monkeypatch.setattr(worker._rounds, "_save", fails)

    async def go():
        await asyncio.gather(
            *(faults.live(s, server.url, t) for s, t in zip(faults.sounds, told, strict=True))
        )

    asyncio.run(go())
    assert len(broken) == 3
    faults.check(told)
    assert {r.reason for t in told for r in t.reconnects} == {"internal"}
    assert caplog.text.count("sessions failed") == 3
    assert worker.alive


@native
def test_a_worker_that_dies_leaves_nobody_waiting(faults, inside, monkeypatch, caplog):
    """Sessions are told, readiness says so, and the next server goes on with them."""
    key = faults.servers.key
    first, second = inside(state_keys=key), inside(state_keys=key)
    told = [faults.told() for _ in faults.sounds]
    worker = first.worker

    def dies():
        raise SystemExit

    async def go():
        may_end = asyncio.Event()
        streams = [
            asyncio.create_task(faults.live(s, [first.url, second.url], t, may_end))
            for s, t in zip(faults.sounds, told, strict=True)
        ]
        await _until(lambda: all(t.probs for t in told))
        monkeypatch.setattr(worker, "_next_lines", dies)
        await _until(lambda: all(t.reconnects for t in told))
        may_end.set()
        await asyncio.gather(*streams)

    asyncio.run(go())
    faults.check(told)
    assert not worker.alive
    assert "the worker of mortal died" in caplog.text
    answer = httpx.get(f"{first.http}/readyz")
    assert answer.status_code == 503
    assert answer.json()["error"]["message"] == "a model's worker is dead"
    assert {r.reason for t in told for r in t.reconnects} == {"internal"}
    assert first.service.sessions == 0


@native
@pytest.mark.parametrize("jump_s", [3e8, -3e8])
def test_the_clock_of_the_wall_jumps(faults, inside, jump_s, monkeypatch):
    """Nobody who streams notices; a token is as old as the clocks say."""
    server = inside(idle_timeout_s=30.0, max_session_s=120.0)
    clock = [0.0]
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + clock[0])
    monkeypatch.setattr(server.service.sealer, "_clock", lambda: now() + clock[0])
    told = [faults.told() for _ in faults.sounds]

    async def go():
        streams = [
            asyncio.create_task(faults.live(s, server.url, t))
            for s, t in zip(faults.sounds, told, strict=True)
        ]
        await _until(lambda: all(len(t.probs) > 200 for t in told))
        clock[0] = jump_s
        before = [len(t.probs) for t in told]
        await _until(lambda: all(len(t.probs) > n + 100 for t, n in zip(told, before, strict=True)))
        clock[0] = 0.0
        await asyncio.gather(*streams)

    asyncio.run(go())
    faults.check(told)
    assert not any(t.reconnects for t in told)


@native
def test_a_connection_lost_after_a_jump_of_the_clock(faults, inside, monkeypatch):
    """Back in time: tokens open. Forth, beyond their life: refused with the code for that."""
    server = inside()
    sealer, now = server.service.sealer, time.time

    async def go(jump_s):
        told = faults.told()
        monkeypatch.setattr(sealer, "_clock", now)
        stream = asyncio.create_task(faults.live(faults.sounds[0], server.url, told))
        await _until(lambda: len(told.probs) > 300)
        monkeypatch.setattr(sealer, "_clock", lambda: now() + jump_s)
        loop = server._server.servers[0].get_loop()
        for connection in list(server.service.connections):
            loop.call_soon_threadsafe(connection._cut)
        await stream
        return told

    told = asyncio.run(go(-3e8))
    assert [r.reason for r in told.reconnects] == ["connection_lost"]
    assert told.events == faults.expected[0].events
    with pytest.raises(SessionExpired, match="token was sealed 300000") as caught:
        asyncio.run(go(3e8))
    assert (caught.value.code, caught.value.close_code) == ("token_expired", 4008)


def test_a_disk_that_is_full_at_an_upload(inside, monkeypatch):
    server = inside()

    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", full)
    upload = {"files": ("a.wav", bytes(3 << 20))}
    for path in ("/v1/score", "/v1/jobs"):
        answer = httpx.post(f"{server.http}{path}?model=mortal", files=upload)
        assert answer.status_code == 507
        assert answer.json()["error"]["code"] == "storage_full"
    monkeypatch.undo()
    answer = httpx.post(f"{server.http}/v1/score?model=mortal", files=upload)
    assert answer.json()["error"]["code"] == "invalid_audio", "the server goes on"


def test_control_messages_twice_late_and_out_of_order(inside, prepared):
    """What is harmless changes nothing; what is not has its code."""
    server = inside()
    _, sounds, expected = prepared("native")
    sound = next(s for s in sounds if (s.rate, s.encoding) == (16_000, "pcm_s16le"))
    wanted = np.array(expected[sounds.index(sound)].probs, np.float32)
    start = json.dumps({"type": "start", "model": "mortal", "report": "frame"})
    flush, keepalive, end = (json.dumps({"type": t}) for t in ("flush", "keepalive", "end"))
    marker = json.dumps({"type": "marker", "id": "again"})

    async def say(*frames):
        heard = []
        async with connect(f"{server.url}/v1/stream", compression=None) as websocket:
            with contextlib.suppress(ConnectionClosed):
                for frame in frames:
                    await websocket.send(frame)
            with contextlib.suppress(ConnectionClosed):
                while True:
                    heard.append(json.loads(await websocket.recv()))
            await websocket.wait_closed()
        return heard, websocket.close_code

    def probs(heard):
        return [p for m in heard if m["type"] == "chunk" for p in m["probs"]["speech"]]

    pieces = [sound.data[i : i + 9999] for i in range(0, len(sound.data), 9999)]
    noisy = [f for piece in pieces for f in (keepalive, flush, flush, piece, marker, marker)]
    heard, code = asyncio.run(say(start, *noisy, end, keepalive, keepalive))
    assert code == 1000
    np.testing.assert_array_equal(np.array(probs(heard), np.float32), wanted)
    assert sum(m["type"] == "marker" for m in heard) == 2 * len(pieces)
    for frames, expected_code in (
        ((end, start), 1003),
        ((marker, start), 1003),
        ((start, start), 1003),
        ((start, end, flush), 1003),
        ((start, end, end), 1003),
        ((start, end, pieces[0]), 1003),
    ):
        heard, code = asyncio.run(say(*frames))
        # What comes behind the end may also come behind the close.
        late = frames[:2] == (start, end)
        assert code == expected_code or (late and code == 1000), frames
    assert asyncio.run(say(start, *pieces, end))[1] == 1000
