"""Cancel, timeout and reuse of the only slot, each forced at the worst moment.

A model that can be held inside a call stands in for bad luck. Whoever gets the slot next must
hear what it would hear alone, and nothing of the one before; whoever left hears nothing more.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import numpy as np
import pytest

import surnn
from surnn.engine import StreamConfig
from surnn_server.items import Data, EndOfStream
from surnn_server.lines import Line
from surnn_server.metrics import Metrics, ModelMetrics
from surnn_server.outputs import Computed, Ended, Failed, Opened
from surnn_server.saved import Suspended
from surnn_server.tokens import TokenSealer, new_key
from surnn_server.worker import Worker


class Held:
    """A runtime that can be stopped at the end of a call: states have moved, nothing is told."""

    def __init__(self, runtime):
        self._runtime = runtime
        self.hold = False
        self.inside, self.go_on = threading.Event(), threading.Event()

    def __getattr__(self, name):
        return getattr(self._runtime, name)

    def run(self, pool, slots, frames):
        blocks = self._runtime.run(pool, slots, frames)
        if self.hold:
            self.inside.set()
            assert self.go_on.wait(10)
        return blocks

    async def caught(self):
        assert await asyncio.to_thread(self.inside.wait, 10)

    def release(self):
        self.hold = False
        self.go_on.set()


class Tenant:
    """Whoever has the slot."""

    def __init__(self, worker, sound):
        self.worker, self.sound, self.outputs = worker, sound, []
        self.line = Line(
            StreamConfig(
                sample_rate=sound.rate,
                encoding=surnn.Encoding(sound.encoding),
                channels=sound.channels,
            ),
            self.outputs.extend,
        )
        worker.open(self.line)

    def send(self, end=True):
        self.line.accepted_bytes += len(self.sound.data)
        self.worker.put(self.line, Data(memoryview(self.sound.data), 0.0))
        if end:
            self.worker.put(self.line, EndOfStream(0.0))

    def of(self, kind):
        return [output for output in self.outputs if isinstance(output, kind)]

    async def until(self, kind):
        async with asyncio.timeout(120):
            while not self.of(kind):  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    @property
    def probs(self):
        parts = [output.result.probs[:, 0] for output in self.of(Computed)]
        return np.concatenate([np.zeros(0, np.float32), *parts])


@pytest.fixture(scope="module")
def held_model(prepared):
    path, sounds, expected = prepared("native")
    return surnn.load(str(path)).runtime, sounds, [np.array(t.probs, np.float32) for t in expected]


@pytest.fixture
def at_work(held_model):
    runtime, sounds, expected = held_model

    @asynccontextmanager
    async def start(capacity=1):
        held = Held(runtime)
        worker = Worker(
            surnn.Model(held),
            capacity=capacity,
            max_batch=64,
            max_frames=100,
            metrics=ModelMetrics(Metrics(), runtime.spec, capacity),
            sealer=TokenSealer([new_key()], 60.0),
        )
        await worker.start()
        try:
            yield worker, held, sounds, expected
        finally:
            held.release()
            await worker.stop()

    return start


async def _next_is_alone(worker, sound, expected):
    """The next tenant of the slot hears what it would hear alone."""
    tenant = Tenant(worker, sound)
    tenant.send()
    await tenant.until(Ended)
    np.testing.assert_array_equal(tenant.probs, expected)
    assert worker.sessions == 0


def test_cancelled_within_a_call(at_work):
    async def go():
        async with at_work() as (worker, held, sounds, expected):
            held.hold = True
            first = Tenant(worker, sounds[0])
            first.send()
            await held.caught()
            worker.close(first.line)
            second = Tenant(worker, sounds[1])
            second.send()
            held.release()
            await second.until(Ended)
            assert not first.of(Computed)
            np.testing.assert_array_equal(second.probs, expected[1])
            assert worker.sessions == 0

    asyncio.run(go())


def test_cancelled_while_its_result_is_on_its_way(at_work):
    """The result was handed to the loop before the session was closed, and arrives after it."""

    async def go():
        async with at_work() as (worker, held, sounds, expected):
            held.hold = True
            first = Tenant(worker, sounds[0])
            first.send(end=False)
            await held.caught()
            held.release()
            # The loop does not turn while this waits: what the worker posts stays undelivered.
            while first.line.session is None or first.line.session.frames == 0:
                threading.Event().wait(0.001)
            worker.close(first.line)
            first.outputs.clear()
            await _next_is_alone(worker, sounds[1], expected[1])
            assert not first.outputs, "a late result reached somebody"

    asyncio.run(go())


def test_timed_out_within_a_call(at_work):
    """As at an idle or length limit: saved and given up, while it is being computed."""

    async def go():
        async with at_work() as (worker, held, sounds, expected):
            held.hold = True
            first = Tenant(worker, sounds[0])
            first.send(end=False)
            await held.caught()
            worker.suspend(first.line)
            held.release()
            await first.until(Suspended)
            assert first.of(Suspended)[0].checkpoint is not None
            told = len(first.outputs)
            await _next_is_alone(worker, sounds[1], expected[1])
            assert len(first.outputs) == told

    asyncio.run(go())


def test_timed_out_and_cancelled_at_once(at_work):
    async def go():
        async with at_work() as (worker, held, sounds, expected):
            held.hold = True
            first = Tenant(worker, sounds[0])
            first.send()
            await held.caught()
            worker.suspend(first.line)
            worker.close(first.line)
            worker.close(first.line)
            held.release()
            await _next_is_alone(worker, sounds[1], expected[1])
            assert not first.of(Suspended)

    asyncio.run(go())


def test_cancelled_as_it_ends(at_work):
    async def go():
        async with at_work() as (worker, _, sounds, expected):
            first = Tenant(worker, sounds[0])
            first.send()
            await first.until(Ended)
            worker.close(first.line)
            await _next_is_alone(worker, sounds[1], expected[1])

    asyncio.run(go())


def test_cancelled_before_it_was_opened(at_work):
    async def go():
        async with at_work() as (worker, held, sounds, expected):
            held.hold = True
            first = Tenant(worker, sounds[0])
            first.send()
            await held.caught()
            never = Tenant(worker, sounds[2])
            never.send()
            worker.close(never.line)
            worker.close(first.line)
            held.release()
            await _next_is_alone(worker, sounds[1], expected[1])
            assert not never.of(Opened)

    asyncio.run(go())


def test_a_slot_is_not_shared_while_it_is_given_up(at_work):
    """Two at once for the only slot: one gets it, the other is told so."""

    async def go():
        async with at_work() as (worker, held, sounds, expected):
            held.hold = True
            first, second = Tenant(worker, sounds[0]), Tenant(worker, sounds[1])
            first.send()
            await held.caught()
            held.release()
            await first.until(Ended)
            await second.until(Failed)
            np.testing.assert_array_equal(first.probs, expected[0])
            await _next_is_alone(worker, sounds[1], expected[1])

    asyncio.run(go())


def test_one_of_64_is_poisoned(at_work):
    """All in one call; the others hear every bit as if they were alone."""

    async def go():
        async with at_work(capacity=64) as (worker, held, sounds, expected):
            held.hold = True
            opener = Tenant(worker, sounds[0])
            opener.send(end=False)
            await held.caught()
            numbers = [1 + i % (len(sounds) - 1) for i in range(63)]
            tenants = [Tenant(worker, sounds[number]) for number in numbers]
            poisoned = 31
            for i, tenant in enumerate(tenants):
                if i == poisoned:
                    bad = np.full(400, np.nan, "<f4").tobytes()
                    tenant.line.config = StreamConfig(encoding=surnn.Encoding.PCM_F32LE)
                    tenant.worker.put(tenant.line, Data(memoryview(bad), 0.0))
                else:
                    tenant.send()
            worker.close(opener.line)
            held.release()
            for i, tenant in enumerate(tenants):
                await tenant.until(Failed if i == poisoned else Ended)
            batches = [output.batch for t in tenants for output in t.of(Computed)]
            assert max(batches) > 32, "they were computed together"
            assert tenants[poisoned].of(Failed)[0].code == "invalid_audio"
            for i, (tenant, number) in enumerate(zip(tenants, numbers, strict=True)):
                if i != poisoned:
                    np.testing.assert_array_equal(tenant.probs, expected[number])
            assert worker.sessions == 0

    asyncio.run(go())
