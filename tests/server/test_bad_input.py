"""What must not be: it ends in a clear error, disturbs nobody else and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import threading

import pytest
from websockets.exceptions import ConnectionClosed


def start(**options):
    return json.dumps({"type": "start", "model": "fake", **options})


NAN = struct.pack("<4f", 0.1, float("nan"), 0.2, 0.3)

CASES = {
    "not json": (["hello"], 4100, "invalid_json", "text frame is 'hello', expected JSON: "),
    "json cut off": (['{"type": '], 4100, "invalid_json", "text frame is "),
    "not an object": (["[1]"], 4101, "invalid_message", "message is [1], expected an object"),
    "no type": (["{}"], 4101, "invalid_message", "message is {}, unable to extract tag"),
    "unknown type": (
        [start(), '{"type": "sing"}'],
        4101,
        "invalid_message",
        "message is {'type': 'sing'}, input tag 'sing' found",
    ),
    "a field too many": (
        [start(), '{"type": "marker", "id": "a", "color": 1}'],
        4101,
        "invalid_message",
        "color is 1, extra inputs are not permitted",
    ),
    "marker without id": (
        [start(), '{"type": "marker"}'],
        4101,
        "invalid_message",
        "id is {'type': 'marker'}, field required",
    ),
    "unknown model": (
        [start(model="x")],
        4004,
        "unknown_model",
        "no model 'x', expected one of ['fake', 'sense']",
    ),
    "wrong encoding": (
        [start(encoding="opus")],
        4000,
        "invalid_config",
        "encoding is 'opus', expected 'pcm_s16le', ",
    ),
    "unknown option": ([start(speed=2)], 4000, "invalid_config", "speed is 2, extra inputs"),
    "rate of a whale": (
        [start(sample_rate=100)],
        4000,
        "invalid_config",
        "sample rate is 100, expected 4000 to 384000 Hz",
    ),
    "rate as text": (
        [start(sample_rate="16000")],
        4000,
        "invalid_config",
        "sample_rate is '16000', expected a valid integer",
    ),
    "no channel": ([start(channels=0)], 4000, "invalid_config", "channels is 0, expected greater"),
    "sensor channels": (
        [start(model="sense", channels=2)],
        4000,
        "invalid_config",
        "stream has 2 channels, expected 3",
    ),
    "threshold of no label": (
        [start(thresholds={"music": {"on": 0.5}})],
        4000,
        "invalid_config",
        "threshold for 'music', expected one of ['speech']",
    ),
    "threshold of no sense": (
        [start(thresholds={"speech": {"on": 2.0}})],
        4000,
        "invalid_config",
        "thresholds for 'speech'",
    ),
    "negative interval": ([start(report_interval_ms=-1)], 4000, "invalid_config", "report_"),
    "binary first": (
        [b"\0\0"],
        1003,
        "unexpected_message",
        "a binary frame before 'start', expected 'start' first",
    ),
    "empty binary first": ([b""], 1003, "unexpected_message", "a binary frame before 'start'"),
    "marker first": (
        ['{"type": "marker", "id": "a"}'],
        1003,
        "unexpected_message",
        "'marker' before 'start', expected 'start' first",
    ),
    "start twice": ([start(), start()], 1003, "unexpected_message", "a second 'start' in a"),
    "nan": (
        [start(encoding="pcm_f32le"), NAN],
        1007,
        "invalid_audio",
        "samples hold NaN or infinity, expected finite numbers",
    ),
    "integers as floats": (
        [start(encoding="pcm_f32le"), struct.pack("<2f", 3000.0, 1.0)],
        1007,
        "invalid_audio",
        "samples reach 3000, expected -1 to 1 at full scale",
    ),
    "a message too big": (
        [start(), bytes((1 << 20) + 1)],
        1009,
        "message_too_big",
        "message of 1048577 bytes, expected at most 1048576",
    ),
    "a text too big": (
        [" " * ((1 << 20) + 1)],
        1009,
        "message_too_big",
        "message of 1048577 bytes, expected at most 1048576",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_and_nothing_else_happens(server, call, make_pcm, case):
    messages, close_code, code, message = CASES[case]

    async def go():
        async with call(server) as neighbour, call(server) as client:
            await neighbour.start()
            await neighbour.send(make_pcm(1, 0.5))
            for item in messages:
                await client.send(item)
            heard = await client.hear_all()
            await neighbour.send(make_pcm(2, 0.5))
            await neighbour.say(type="end")
            return heard, await neighbour.hear_all()

    heard, undisturbed = asyncio.run(go())
    assert heard.code == close_code
    assert heard.error["code"] == code
    assert heard.error["message"].startswith(message)
    assert heard.error["retryable"] is False
    assert undisturbed.code == 1000
    assert undisturbed.messages[-1]["frames"] == 100
    server.wait_until_empty()


def test_a_frame_of_10_mb_is_cut_off(server, call):
    async def go():
        async with call(server) as client:
            await client.start()
            with contextlib.suppress(ConnectionClosed):
                await client.send(bytes(10_000_000))
            return await client.hear_all()

    heard = asyncio.run(go())
    assert heard.code == 1009
    server.wait_until_empty()


def test_an_empty_frame_is_no_data(server, stream_all, call):
    async def go():
        async with call(server) as client:
            await client.start()
            for _ in range(100):
                await client.send(b"")
            await client.say(type="end")
            return await client.hear_all()

    heard = asyncio.run(go())
    assert heard.messages[-1]["samples"] == 0
    assert heard.code == 1000


def test_data_after_the_end_is_refused_or_too_late(server, call):
    async def go():
        async with call(server) as client:
            await client.start()
            server.runtimes["fake"].before_run = lambda frames: hold.wait(5)
            await client.send(bytes(320))
            await client.say(type="end")
            await client.send(bytes(320))
            await server.until_error("unexpected_message", before + 1)
            hold.set()
            return await client.hear_all()

    hold = threading.Event()
    before = server.metric("surnn_errors_total", code="unexpected_message")
    try:
        heard = asyncio.run(go())
    finally:
        server.runtimes["fake"].before_run = lambda frames: None
    assert heard.error["message"] == "a binary frame after 'end', expected nothing more"
    assert heard.code == 1003
    server.wait_until_empty()


@pytest.mark.parametrize("manner", ["polite", "rude"])
def test_a_client_that_goes_mid_stream_leaves_nothing(server, call, make_pcm, manner):
    async def go():
        for seed in range(8):
            async with call(server) as client:
                await client.start()
                await client.send(make_pcm(seed, 5.0))
                if manner == "rude":
                    client.websocket.transport.abort()

    asyncio.run(go())
    server.wait_until_empty()
    assert server.metric("surnn_sessions_ended_total", model="fake", reason="client_gone") >= 8
    assert server.metric("surnn_sessions_active", model="fake") == 0


def test_a_client_that_goes_before_start_leaves_nothing(server, call):
    async def go():
        async with call(server):
            pass

    asyncio.run(go())
    server.wait_until_empty()


def test_a_runtime_that_fails_on_one_stream_hurts_only_that(server, call, make_pcm, caplog):
    """The culprit has a level that no other stream reaches."""

    def explode(frames):
        if any((abs(f) > 0.99).any() for f in frames):
            raise RuntimeError("/secret/path exploded")

    def quiet(seed):
        return bytes(3200 * 2) + make_pcm(seed, 0.1)

    async def neighbour(seed):
        async with call(server) as client:
            await client.start(report="frame")
            for _ in range(20):
                await client.send(quiet(seed)[:3200])
                await asyncio.sleep(0)
            await client.say(type="end")
            return await client.hear_all()

    async def culprit():
        async with call(server) as client:
            await client.start()
            await client.send(b"\xff\x7f" * 1600)
            return await client.hear_all()

    async def go():
        return await asyncio.gather(culprit(), *(neighbour(i) for i in range(10)))

    server.runtimes["fake"].before_run = explode
    try:
        bad, *good = asyncio.run(go())
    finally:
        server.runtimes["fake"].before_run = lambda frames: None
    assert bad.code == 1011
    assert bad.error["code"] == "internal"
    assert bad.error["message"] == "the server failed to compute this stream"
    assert bad.error["retryable"] is True
    assert [heard.code for heard in good] == [1000] * 10
    assert [heard.messages[-1]["frames"] for heard in good] == [200] * 10
    server.wait_until_empty()
