"""Servers that die or are replaced under live streams: nothing is lost, nothing comes twice.

`SURNN_FAULT_SESSIONS`, `SURNN_FAULT_SECONDS` and `SURNN_FAULT_KILLS` make the tests longer.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from surnn_client import ConnectionLost, InvalidRequest


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "the streams do not go on"
        await asyncio.sleep(0.02)


def test_killed_and_restarted_elsewhere(faults: Any) -> None:
    server = faults.servers.start()
    told = [faults.told() for _ in faults.sounds]
    chance = random.Random(1)

    async def go() -> None:
        nonlocal server
        may_end = asyncio.Event()
        streams = [
            asyncio.create_task(faults.live(sound, lambda: server.url, t, may_end))
            for sound, t in zip(faults.sounds, told, strict=True)
        ]
        await until(lambda: all(t.probs for t in told))
        for kill in range(faults.kills):
            await until(lambda kill=kill: all(len(t.reconnects) >= kill for t in told))
            await asyncio.sleep(chance.uniform(0.0, 0.7))
            server.kill()
            server = await asyncio.to_thread(faults.servers.start)
        may_end.set()
        await asyncio.gather(*streams)

    asyncio.run(go())
    faults.check(told)
    assert sum(len(t.events) for t in told) > 10 * faults.sessions
    assert all(len(t.reconnects) >= faults.kills for t in told)
    assert any(r.position > 0 for t in told for r in t.reconnects), "all began from the start"


def test_a_rolling_restart_of_two_servers(faults: Any) -> None:
    ports = [faults.free_port(), faults.free_port()]
    servers = [faults.servers.start(port) for port in ports]
    urls = [server.url for server in servers]
    told = [faults.told() for _ in faults.sounds]

    async def go() -> None:
        may_end = asyncio.Event()
        streams = [
            asyncio.create_task(faults.live(sound, urls, t, may_end))
            for sound, t in zip(faults.sounds, told, strict=True)
        ]
        await until(lambda: all(t.probs for t in told))
        for i in (0, 1):
            assert await asyncio.to_thread(servers[i].terminate) in (0, -15)
            await until(lambda i=i: all(len(t.reconnects) > i for t in told))
            servers[i] = await asyncio.to_thread(faults.servers.start, ports[i])
        may_end.set()
        await asyncio.gather(*streams)

    asyncio.run(go())
    faults.check(told)
    for t in told:
        assert {r.reason for r in t.reconnects} == {"draining"}
        assert [r.url for r in t.reconnects] == [urls[1], urls[0]]
        assert all(r.position > 0 for r in t.reconnects)


@pytest.mark.parametrize("faults", ["native"], indirect=True)
def test_a_server_with_another_key_refuses(faults: Any) -> None:
    server = faults.servers.start()
    told = faults.told()

    async def go() -> None:
        nonlocal server
        stream = asyncio.create_task(faults.live(faults.sounds[0], lambda: server.url, told))
        await until(lambda: len(told.probs) > 300)
        server.kill()
        server = await asyncio.to_thread(faults.servers.start, None, state_keys="")
        await stream

    with pytest.raises(InvalidRequest, match="token was not sealed by this service") as caught:
        asyncio.run(go())
    assert (caught.value.code, caught.value.close_code) == ("invalid_token", 4004)


@pytest.mark.parametrize("faults", ["native"], indirect=True)
def test_nobody_comes_back(faults: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = faults.servers.start()
    told = faults.told()

    async def go() -> None:
        stream = asyncio.create_task(faults.live(faults.sounds[0], server.url, told, attempts=5))
        await until(lambda: bool(told.probs))
        server.kill()
        await stream

    monkeypatch.setattr("surnn_client.reconnect.Reconnect.delay", lambda self, attempt: 0.001)
    with pytest.raises(ConnectionLost, match="5 attempts to go on failed, the last one: cannot"):
        asyncio.run(go())
