"""A server of two processes, one of which dies under live streams."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="several workers need Linux")


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "the streams do not go on"
        await asyncio.sleep(0.02)


def test_a_worker_dies_and_only_its_streams_move(faults: Any) -> None:
    server = faults.servers.start(workers="2")
    url = server.url.replace("ws", "http")
    told = [faults.told() for _ in faults.sounds]
    moved = 0

    def sessions() -> list[str]:
        listed = httpx.get(f"{url}/v1/sessions").json()["sessions"]
        return [str(session["session"]) for session in listed]

    async def go() -> None:
        nonlocal moved
        may_end = asyncio.Event()
        streams = [
            asyncio.create_task(faults.live(sound, server.url, t, may_end))
            for sound, t in zip(faults.sounds, told, strict=True)
        ]
        await until(lambda: all(t.probs and t.saved for t in told))
        ids = await asyncio.to_thread(sessions)
        assert len(ids) == faults.sessions
        # The one that has more: the kernel may have given all of these few to one.
        victim = max((0, 1), key=lambda number: sum(id.endswith(f"-{number}") for id in ids))
        moved = sum(id.endswith(f"-{victim}") for id in ids)
        before = server.members()
        assert len(before) == 2
        os.kill(before[victim], signal.SIGKILL)
        await until(lambda: sum(len(t.reconnects) for t in told) >= moved)
        await until(lambda: len(server.members()) == 2)
        assert before[1 - victim] in server.members()
        may_end.set()
        await asyncio.gather(*streams)

    asyncio.run(go())
    faults.check(told)
    assert moved > 0
    assert sum(len(t.reconnects) > 0 for t in told) == moved, "the others noticed nothing"
    assert all(r.position > 0 for t in told for r in t.reconnects)


def test_drain_saves_the_streams_of_all_workers(faults: Any) -> None:
    port = faults.free_port()
    server = faults.servers.start(port, workers="2")
    told = [faults.told() for _ in faults.sounds]

    async def go() -> None:
        may_end = asyncio.Event()
        streams = [
            asyncio.create_task(faults.live(sound, server.url, t, may_end))
            for sound, t in zip(faults.sounds, told, strict=True)
        ]
        await until(lambda: all(t.probs for t in told))
        members = server.members()
        assert await asyncio.to_thread(server.terminate) in (0, -15)
        for pid in members:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
        # One process is enough to go on: the key is the same.
        await asyncio.to_thread(faults.servers.start, port)
        may_end.set()
        await asyncio.gather(*streams)

    asyncio.run(go())
    faults.check(told)
    assert all(t.reconnects for t in told)


def test_workers_end_with_their_supervisor(faults: Any) -> None:
    server = faults.servers.start(workers="2")
    members = server.members()
    assert len(members) == 2
    server.kill()

    def gone() -> bool:
        def runs(pid: int) -> bool:
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    return stat.read().rpartition(")")[2].split()[0] != "Z"
            except OSError:
                return False

        return not any(runs(pid) for pid in members)

    asyncio.run(until(gone))
    assert list(faults.servers.folder.iterdir()) == []
