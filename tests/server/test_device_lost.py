"""A GPU that fails under live streams: they go on from their checkpoints, in the same server."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from surnn import Model
from surnn.errors import DeviceLost, DeviceMemory


def lose(frames):
    raise DeviceLost("device was lost: CUDA error: unspecified launch failure")


def readiness(server):
    return httpx.get(f"{server.url}/readyz")


def wait_for(server, status):
    deadline = time.monotonic() + 5
    while (response := readiness(server)).status_code != status:
        assert time.monotonic() < deadline, response.text
        time.sleep(0.01)
    return response


async def until(client, kind):
    while (message := await client.hear())["type"] != kind:
        pass
    return message


@pytest.fixture
def broken(run_server, call):
    """A server whose device fails once a stream has a checkpoint, and what the stream heard."""
    with run_server() as server:

        async def go():
            async with call(server) as client, call(server) as idle:
                await client.start(checkpoint_interval_s=0.1)
                await idle.start()
                await client.send(bytes(16_000))
                saved = await until(client, "checkpoint")
                server.runtimes["fake"].before_run = lose
                await client.send(bytes(3200))
                heard = await client.hear_all()
                await idle.send(bytes(3200))
                return saved, heard, await idle.hear_all()

        yield server, go


@pytest.fixture
def spare(make_fake, specs, monkeypatch):
    """What takes over: the same weights on the CPU."""
    runtime = make_fake(specs["fake"])
    monkeypatch.setattr(Model, "on_host", lambda self: Model(runtime))
    return runtime


def test_streams_go_on_from_their_checkpoint(broken, spare, call):
    server, go = broken
    saved, heard, idle = asyncio.run(go())
    for stream in (heard, idle):
        assert stream.error["code"] == "internal"
        assert stream.error["retryable"] is True
        assert "go on from the last checkpoint" in stream.error["message"]
    ready = wait_for(server, 200).json()
    assert ready["degraded"] == ["fake"]
    assert httpx.get(f"{server.url}/healthz").status_code == 200

    async def resume():
        async with call(server) as client:
            await client.say(type="start", resume=saved["token"])
            again = await client.hear()
            await client.send(bytes(3200))
            await client.say(type="end")
            return again, await client.hear_all()

    again, rest = asyncio.run(resume())
    assert (again["resumed"], again["frames"]) == (True, saved["frames"])
    summary = rest.of("summary")[0]
    assert summary["frames"] == saved["frames"] + 10
    server.wait_until_empty()


def test_without_a_spare_the_server_says_that_it_is_not_ready(broken, stream_all, call):
    """Models given as objects have no file to load again; the other model goes on."""
    server, go = broken
    asyncio.run(go())
    assert wait_for(server, 503).json()["error"]["message"] == "a model's worker is dead"
    assert httpx.get(f"{server.url}/healthz").status_code == 200

    async def other():
        async with call(server) as client:
            await client.start(model="sense", encoding="f32le")
            await client.send(bytes(12 * 8))
            await client.say(type="end")
            return await client.hear_all()

    assert asyncio.run(other()).of("summary")
    server.wait_until_empty()


def test_too_little_memory_is_said_and_hurts_one_session(run_server, call):
    """The runtime has tried smaller batches by then: what fails alone gets the error."""
    with run_server() as server:

        def scarce(frames):
            if any(len(block) > 5 for block in frames):
                raise DeviceMemory("device has too little memory: CUDA out of memory.")

        server.runtimes["fake"].before_run = scarce

        async def go():
            async with call(server) as long, call(server) as short:
                await long.start()
                await short.start()
                await long.send(bytes(3200))
                failed = await long.hear_all()
                await short.send(bytes(640))
                await short.say(type="end")
                return failed, await short.hear_all()

        failed, fine = asyncio.run(go())
        assert failed.error["code"] == "at_capacity"
        assert failed.error["retryable"] is True
        assert fine.of("summary")
        assert readiness(server).status_code == 200
