"""A network that breaks: frames cut in two, half-open connections, clients that do not read."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from surnn_cli.soak.proxy import Proxy

pytestmark = pytest.mark.parametrize("faults", ["native"], indirect=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(300):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.fixture
def streamed(faults: Any) -> Callable[..., Any]:
    """Streams all sounds over a proxy while something is done to it; what they were told."""

    def streamed(
        server: Any,
        break_it: Callable[[Proxy, list[Any]], Awaitable[None]],
        *,
        hold: bool = True,
    ) -> list[Any]:
        """`hold` keeps the streams alive until all is broken; but then nothing may flow."""
        told = [faults.told() for _ in faults.sounds]

        async def go() -> None:
            proxy, may_end = Proxy(), asyncio.Event()
            if not hold:
                may_end.set()
            proxy.target = int(server.url.rpartition(":")[2])
            await proxy.start()
            url = f"ws://127.0.0.1:{proxy.port}"
            streams = [
                asyncio.create_task(faults.live(sound, url, t, may_end))
                for sound, t in zip(faults.sounds, told, strict=True)
            ]
            await until(lambda: all(t.probs for t in told))
            await break_it(proxy, told)
            may_end.set()
            await asyncio.gather(*streams)
            await proxy.stop()

        asyncio.run(go())
        return told

    return streamed


def metric(server: Any, line: str) -> float:
    page = httpx.get(f"{server.url.replace('ws', 'http', 1)}/metrics").text
    return sum(float(row.rpartition(" ")[2]) for row in page.splitlines() if row.startswith(line))


def test_connections_are_cut_within_frames(faults: Any, streamed: Any) -> None:
    chance, cuts = random.Random(2), 4 * len(faults.sounds)

    async def cut(proxy: Proxy, told: list[Any]) -> None:
        done = 0
        while done < cuts and not all(t.summary for t in told):
            done += proxy.drop(chance)
            await asyncio.sleep(0.02)

    told = streamed(faults.servers.start(), cut, hold=False)
    faults.check(told)
    assert sum(len(t.reconnects) for t in told) > len(told)


def test_half_open_connections(faults: Any, streamed: Any) -> None:
    """Nothing passes and nobody says so: the server finds out by itself, and frees the slots."""
    settings = {"ping_interval_s": "0.2", "ping_timeout_s": "0.5", "idle_timeout_s": "0"}
    server = faults.servers.start(**settings)
    lost = 'surnn_sessions_ended_total{model="mortal",reason="client_gone"}'

    async def stall(proxy: Proxy, told: list[Any]) -> None:
        links = list(proxy._links)
        assert len(links) == len(told)
        for link in links:
            link.flows.clear()
        for _ in range(600):
            if await asyncio.to_thread(metric, server, lost) >= len(links):
                break
            await asyncio.sleep(0.05)
        assert await asyncio.to_thread(metric, server, "surnn_slots_used") == 0
        for link in links:
            link.flows.set()

    told = streamed(server, stall)
    faults.check(told)
    assert all([r.reason for r in t.reconnects] == ["connection_lost"] for t in told)


async def _deaf(server: Any, gone: list[int]) -> None:
    """Says much, and reads nothing."""
    url = f"{server.url}/v1/stream"
    async with connect(url, compression=None, ping_interval=None) as websocket:
        await websocket.send(json.dumps({"type": "start", "model": "mortal"}))
        websocket.transport.pause_reading()
        marker = json.dumps({"type": "marker", "id": "\1" * 250})
        try:
            while True:
                await websocket.send(marker)
        except (ConnectionClosed, OSError):
            gone.append(1)


def test_slow_readers(faults: Any, streamed: Any) -> None:
    """Each is cut off once too much waits for it; nobody else notices."""
    server, readers = faults.servers.start(max_unsent_results="200", close_timeout_s="0.2"), 4
    gone: list[int] = []

    async def deaf(proxy: Proxy, told: list[Any]) -> None:
        async with asyncio.timeout(300):
            await asyncio.gather(*(_deaf(server, gone) for _ in range(readers)))

    told = streamed(server, deaf)
    faults.check(told)
    assert len(gone) == readers
    assert not any(t.reconnects for t in told)
    assert metric(server, 'surnn_errors_total{code="slow_reader"}') == readers
