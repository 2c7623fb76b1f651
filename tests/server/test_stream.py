"""Streams over a real WebSocket."""

from __future__ import annotations

import asyncio
import itertools
import json
import time

import numpy as np
import pytest


def test_a_stream_from_start_to_summary(server, stream_all, make_pcm):
    heard = asyncio.run(stream_all(server, make_pcm(1)))
    assert heard.code == 1000
    assert [m["seq"] for m in heard.messages] == list(range(len(heard.messages)))
    ready, *_, summary = heard.messages
    assert ready["protocol"] == 1
    assert len(ready["session"]) == 32
    assert ready["model"] == {
        "name": "fake",
        "version": "1",
        "labels": ["speech"],
        "sample_rate": 16000,
        "hop": 160,
        "layers": [4],
    }
    assert ready["limits"] == {
        "max_message_bytes": 1048576,
        "max_buffered_seconds": 30.0,
        "idle_timeout_s": 60.0,
        "max_session_s": 0.0,
        "checkpoint_interval_s": 5.0,
    }
    assert ready["stream"] == {"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 1}
    assert (ready["resumed"], ready["position"], ready["events"]) == (False, 0, 0)
    chunks = heard.of("chunk")
    assert chunks[0]["first_sample"] == 0
    assert chunks[-1]["end_sample"] == 16000
    for before, after in itertools.pairwise(chunks):
        assert after["start"] == before["end"]
        assert after["first_sample"] == before["end_sample"]
    assert summary["type"] == "summary"
    assert summary["reason"] == "end"
    assert summary["seconds"] == 1.0
    assert summary["samples"] == 16000
    assert summary["frames"] == sum(c["frames"] for c in chunks) == 100
    assert summary["events"] == len(heard.of("event")) > 0
    sparsity = summary["sparsity"]
    assert sparsity["updates"] == sum(c["sparsity"]["updates"] for c in chunks)
    assert sparsity["updates"] + sparsity["skipped"] == sparsity["possible"] == 400
    server.wait_until_empty()


def test_start_without_ready_and_data_at_once(server, call, make_pcm):
    async def go():
        async with call(server) as client:
            await client.say(type="start", model="fake")
            await client.send(make_pcm(2))
            await client.say(type="end")
            return await client.hear_all()

    heard = asyncio.run(go())
    assert heard.messages[0]["type"] == "ready"
    assert heard.messages[-1]["frames"] == 100


def essence(heard):
    """What the model said, without what depends on the moment."""
    probs = [p for c in heard.of("chunk") for p in c["probs"]["speech"]]
    rates = [r for c in heard.of("chunk") for r in c["sparsity"]["frames"][0]]
    keys = ("label", "kind", "time", "score", "sample")
    events = [tuple(e[k] for k in keys) for e in heard.of("event")]
    summary = heard.messages[-1]
    return probs, rates, events, summary["sparsity"], summary["samples"], summary["events"]


def test_64_streams_at_once_give_what_each_gives_alone(server, stream_all, make_pcm):
    streams = [make_pcm(seed, 0.3 + 0.02 * (seed % 20)) for seed in range(64)]

    async def alone():
        return [await stream_all(server, pcm, chunk=10**6, report="frame") for pcm in streams]

    async def together():
        return await asyncio.gather(
            *(
                stream_all(server, pcm, chunk=101 + 37 * i, report="frame")
                for i, pcm in enumerate(streams)
            )
        )

    server.runtimes["fake"].batches.clear()
    expected = [essence(heard) for heard in asyncio.run(alone())]
    assert max(server.runtimes["fake"].batches) == 1
    # A call that takes a while lets streams gather for the next one.
    server.runtimes["fake"].before_run = lambda frames: time.sleep(0.005)
    seen = [essence(heard) for heard in asyncio.run(together())]
    server.runtimes["fake"].before_run = lambda frames: None
    assert max(server.runtimes["fake"].batches) > 8
    assert seen == expected
    assert len({json.dumps(e) for e in expected}) == 64, "streams that differ give what differs"
    server.wait_until_empty()


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_samples_count_at_the_rate_of_the_client(server, stream_all, make_pcm, rate):
    heard = asyncio.run(stream_all(server, make_pcm(3), sample_rate=rate))
    chunks = heard.of("chunk")
    assert heard.messages[-1]["samples"] == 16000
    assert heard.messages[-1]["seconds"] == pytest.approx(16000 / rate, abs=1e-6)
    assert chunks[-1]["end_sample"] == 16000
    for event in heard.of("event"):
        assert event["sample"] == round(event["time"] * rate)


def test_a_sensor_stream(server, stream_all):
    data = np.random.default_rng(0).normal(size=(75, 3)).astype("<f4").tobytes()
    heard = asyncio.run(stream_all(server, data, chunk=13, model="sense"))
    assert heard.code == 1000
    assert heard.messages[-1]["frames"] == 75
    assert heard.messages[-1]["seconds"] == 1.5
    assert set(heard.of("chunk")[0]["probs"]) == {"still", "walk"}


def test_a_marker_comes_after_all_before_it_and_before_all_after_it(server, call, make_pcm):
    async def go():
        async with call(server) as client:
            await client.start(report_interval_ms=10_000)
            for i in range(5):
                await client.send(make_pcm(i, 0.1))
                await client.say(type="marker", id=f"m{i}")
            await client.say(type="end")
            return await client.hear_all()

    heard = asyncio.run(go())
    kinds = [m["type"] for m in heard.messages if m["type"] in ("chunk", "marker")]
    assert kinds == ["chunk", "marker"] * 5
    assert [m["id"] for m in heard.of("marker")] == [f"m{i}" for i in range(5)]
    assert [c["end_sample"] for c in heard.of("chunk")] == [1600 * (i + 1) for i in range(5)]


def test_flush_reports_what_is_merged(server, call, make_pcm):
    async def go():
        async with call(server) as client:
            await client.start(report_interval_ms=1000)
            await client.send(make_pcm(1, 0.25))
            await client.say(type="flush")
            first = await client.hear()
            while first["type"] == "event":
                first = await client.hear()
            await client.say(type="flush")
            await client.say(type="keepalive")
            await client.say(type="end")
            await client.say(type="keepalive")
            return first, await client.hear_all()

    first, rest = asyncio.run(go())
    assert first["type"] == "chunk"
    assert first["frames"] == 25
    assert rest.of("chunk") == []
    assert rest.messages[-1]["type"] == "summary"


def test_report_modes(server, stream_all, make_pcm):
    pcm = make_pcm(5)
    events, chunk, frame = (
        asyncio.run(stream_all(server, pcm, report=mode)) for mode in ("events", "chunk", "frame")
    )
    assert events.of("chunk") == []
    assert len(events.of("event")) == len(chunk.of("event")) == len(frame.of("event")) > 0
    for message in chunk.of("chunk"):
        assert set(message["probs"]["speech"]) == {"mean", "max"}
        assert "frames" not in message["sparsity"]
    for message in frame.of("chunk"):
        assert len(message["probs"]["speech"]) == message["frames"]
        assert len(message["sparsity"]["frames"][0]) == message["frames"]


def test_thresholds_of_the_client_hold(server, stream_all, make_pcm):
    heard = asyncio.run(stream_all(server, make_pcm(5), thresholds={"speech": {"on": 1.0}}))
    assert heard.of("event") == []


def test_an_open_event_is_ended_by_the_end_of_the_stream(server, stream_all):
    heard = asyncio.run(stream_all(server, b"\xff\x7f" * 1600))
    assert [e["kind"] for e in heard.of("event")] == ["start", "end"]
    assert heard.of("event")[-1]["time"] == pytest.approx(0.1)


def test_half_a_sample_at_the_end_is_a_warning(server, stream_all):
    heard = asyncio.run(stream_all(server, b"\x00" * 321))
    (warning,) = heard.of("warning")
    assert warning["code"] == "split_sample"
    assert warning["message"] == (
        "stream ended inside a sample: 1 bytes dropped, expected whole samples"
    )
    assert heard.messages[-1]["samples"] == 160
    assert heard.code == 1000


def test_an_empty_stream(server, stream_all):
    heard = asyncio.run(stream_all(server, b""))
    summary = heard.messages[-1]
    assert (summary["seconds"], summary["frames"], summary["samples"]) == (0.0, 0, 0)
    assert heard.code == 1000


def test_an_unmodified_client_understands_everything(server, call, make_pcm):
    wire = pytest.importorskip("surnn_client.wire")

    async def go():
        async with call(server) as client:
            await client.say(type="start", model="fake", report="frame")
            await client.send(make_pcm(1)[:-1])
            await client.say(type="marker", id="é")
            await client.say(type="end")
            return [m async for m in client.websocket]

    texts = asyncio.run(go())
    names = {type(wire.parse(text)).__name__ for text in texts}
    assert names == {"Ready", "Chunk", "EventMessage", "Marker", "Warning_", "Summary"}
