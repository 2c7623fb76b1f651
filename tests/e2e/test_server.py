"""The shipped models through the server: every door gives what the embedded API gives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import httpx
import numpy as np
import pytest

import surnn
from surnn.assets import demo_recording
from surnn.types import Float32
from surnn_client import Chunk, EventMessage, connect, connect_async

ProbsOf = Callable[..., Float32]


def variant(recording: np.ndarray, number: int) -> np.ndarray:
    """Another stream for each number: another part of the recording at another level."""
    rng = np.random.default_rng(number)
    start = int(rng.integers(0, len(recording) - 80_000))
    part = recording[start : start + int(rng.integers(20_000, 80_000))]
    return (part * rng.uniform(0.2, 1.0)).astype(np.int16)


def test_64_streams_at_once_give_what_each_gives_alone(
    live: object, vad: surnn.Model, recording: np.ndarray, probs_of: ProbsOf
) -> None:
    streams = [variant(recording, i) for i in range(64)]

    async def one(number: int, samples: np.ndarray) -> Float32:
        rng = np.random.default_rng(1000 + number)
        data, at, rows = samples.tobytes(), 0, []
        async with connect_async(live.url, model="vad", report="frame") as stream:  # type: ignore[attr-defined]

            async def send() -> None:
                nonlocal at
                while at < len(data):
                    size = int(rng.integers(1, 12_000))  # odd sizes split samples
                    await stream.send(data[at : at + size])
                    at += size
                    await asyncio.sleep(0)
                await stream.end()

            sender = asyncio.create_task(send())
            async for message in stream:
                if isinstance(message, Chunk):
                    assert message.probs["speech"].frames is not None
                    rows += message.probs["speech"].frames
            await sender
        return np.array(rows, np.float32)

    async def everybody() -> list[Float32]:
        return await asyncio.gather(*(one(i, s) for i, s in enumerate(streams)))

    for samples, seen in zip(streams, asyncio.run(everybody()), strict=True):
        np.testing.assert_allclose(seen, probs_of(vad, samples)[:, 0], atol=1e-5)
    live.wait_until_empty()  # type: ignore[attr-defined]


def test_live_file_and_embedded_events_agree(
    live: object, vad: surnn.Model, recording: np.ndarray
) -> None:
    with vad.stream() as stream:
        events = [e for r in stream.feed(recording) for e in r.events] + stream.finish()[1]
    expected = [(e.label, str(e.kind), round(e.time, 3)) for e in events]

    with connect(live.url, model="vad") as remote:  # type: ignore[attr-defined]
        pieces = np.array_split(recording, 77)
        messages = list(remote.run(pieces))
    seen = [
        (m.label, str(m.kind), round(m.time, 3)) for m in messages if isinstance(m, EventMessage)
    ]
    assert seen == expected

    with demo_recording().open("rb") as file:
        reply = httpx.post(
            f"{live.url}/v1/score",  # type: ignore[attr-defined]
            params={"model": "vad", "format": "ndjson"},
            files={"files": ("demo.flac", file)},
        )
    record = json.loads(reply.text.splitlines()[-1])
    starts = [round(time, 3) for _, kind, time in expected if kind == "start"]
    ends = [round(time, 3) for _, kind, time in expected if kind == "end"]
    assert [s["start"] for s in record["segments"]] == pytest.approx(starts, abs=0.011)
    assert [s["end"] for s in record["segments"]] == pytest.approx(ends, abs=0.011)


def test_silence_reports_its_open_rate_to_the_client(live: object) -> None:
    with connect(live.url, model="vad") as stream:  # type: ignore[attr-defined]
        messages = list(stream.run([np.zeros(16_000, np.int16)] * 5))
    chunks = [m for m in messages if isinstance(m, Chunk)]
    assert chunks
    for chunk in chunks:
        assert len(chunk.sparsity.open_rate) == 2
        assert chunk.sparsity.updates + chunk.sparsity.skipped == chunk.sparsity.possible
    assert not [m for m in messages if isinstance(m, EventMessage)]


def test_a_sensor_streams_the_same_way(live: object) -> None:
    model = surnn.load("activity")
    rows = np.random.default_rng(0).standard_normal((500, 6)).astype(np.float32)
    rows[:, 2] += 9.81
    with model.stream() as embedded:
        expected = np.concatenate([r.probs for r in embedded.feed(rows)])
    options = {"model": "activity", "encoding": "f32le", "channels": 6, "report": "frame"}
    with connect(live.url, **options) as stream:  # type: ignore[attr-defined]
        messages = list(stream.run(np.array_split(rows, 13)))
    frames = [m.probs for m in messages if isinstance(m, Chunk)]
    for column, label in enumerate(model.spec.labels):
        seen = [p for probs in frames for p in (probs[label].frames or ())]
        np.testing.assert_allclose(seen, expected[:, column], atol=1e-5)
