"""The worker with a fake runtime and no sockets: order, fairness, isolation, slots."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import numpy as np
import pytest

from surnn import Encoding, Model
from surnn.engine import StreamConfig
from surnn_server.batching import group_by_frames
from surnn_server.codes import ErrorCode
from surnn_server.items import Data, EndOfStream, FlushAt, MarkAt
from surnn_server.lines import Line
from surnn_server.metrics import Metrics, ModelMetrics
from surnn_server.outputs import Computed, Ended, Failed, Flushed, Marked, Opened
from surnn_server.tokens import TokenSealer, new_key
from surnn_server.worker import Worker

HOP_BYTES = 320


class Caller:
    """One session, with everything that it was answered."""

    def __init__(self, worker, **config):
        self.worker = worker
        self.outputs = []
        self.calls = 0
        self.arrived = asyncio.Event()
        self.line = Line(StreamConfig(**config), self._deliver)
        worker.open(self.line)

    def _deliver(self, outputs):
        self.outputs += outputs
        self.calls += 1
        self.arrived.set()

    def data(self, frames, value=1000):
        payload = np.full(frames * 160, value, "<i2").tobytes()
        self.line.accepted_bytes += len(payload)
        self.worker.put(self.line, Data(memoryview(payload), 0.0))

    def put(self, item):
        self.worker.put(self.line, item)

    def end(self):
        self.put(EndOfStream(0.0))

    async def until(self, kind):
        async with asyncio.timeout(5):
            while not any(isinstance(output, kind) for output in self.outputs):
                self.arrived.clear()
                await self.arrived.wait()
        return next(output for output in self.outputs if isinstance(output, kind))

    async def until_frames(self, count):
        async with asyncio.timeout(5):
            while self.frames < count:
                self.arrived.clear()
                await self.arrived.wait()

    def of(self, kind):
        return [output for output in self.outputs if isinstance(output, kind)]

    @property
    def frames(self):
        return sum(output.result.frames for output in self.of(Computed))

    @property
    def probs(self):
        return np.concatenate([output.result.probs for output in self.of(Computed)])


@asynccontextmanager
async def at_work(runtime, capacity=8, max_batch=8, max_frames=20, gather_s=0.0):
    worker = Worker(
        Model(runtime),
        capacity=capacity,
        max_batch=max_batch,
        max_frames=max_frames,
        metrics=ModelMetrics(Metrics(), runtime.spec, capacity),
        sealer=TokenSealer([new_key()], 60.0),
        gather_s=gather_s,
    )
    await worker.start()
    runtime.batches.clear()
    try:
        yield worker
    finally:
        await worker.stop()


class Gate:
    """Holds the runtime inside a call, until opened."""

    def __init__(self, runtime):
        self.runtime = runtime
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, frames):
        self.entered.set()
        assert self.opened.wait(5)

    async def close(self, caller):
        """The runtime computes a frame of the caller, and does not come back."""
        self.runtime.before_run = self
        caller.data(1)
        assert await asyncio.to_thread(self.entered.wait, 5)

    def open(self):
        self.runtime.before_run = lambda frames: None
        self.opened.set()


def test_a_full_batch_and_a_backlog_wait_for_nobody(fake_runtime):
    async def go():
        # Longer than the test may take.
        async with at_work(fake_runtime, max_batch=2, max_frames=1, gather_s=60.0) as worker:
            first, second = Caller(worker), Caller(worker)
            await first.until(Opened)
            await second.until(Opened)
            first.data(5)
            second.data(1)
            await first.until_frames(5)
            await second.until_frames(1)
            # Nothing fills this one: only the end of the worker does not wait for it.
            second.data(1)
            await asyncio.sleep(0.05)
            return second.frames

    assert asyncio.run(go()) == 1
    assert fake_runtime.batches == [2, 1, 1, 1, 1]


def test_items_are_answered_in_order(fake_runtime):
    async def go():
        async with at_work(fake_runtime) as worker:
            caller = Caller(worker)
            caller.data(3)
            caller.put(MarkAt("a"))
            caller.put(FlushAt())
            caller.data(50)
            caller.put(MarkAt("b"))
            caller.end()
            await caller.until(Ended)
            return caller

    caller = asyncio.run(go())
    kinds = [type(output) for output in caller.outputs]
    assert kinds[:4] == [Opened, Computed, Marked, Flushed]
    assert kinds[-2:] == [Marked, Ended]
    assert set(kinds[4:-2]) == {Computed}
    assert caller.frames == 53
    assert all(output.result.frames <= 20 for output in caller.of(Computed))
    ended = caller.outputs[-1]
    assert (ended.frames, ended.position, ended.dropped) == (53, 53 * 160, 0)


def test_a_session_gives_back_its_slot_when_it_ends(fake_runtime):
    async def go():
        async with at_work(fake_runtime, capacity=1) as worker:
            for _ in range(3):
                caller = Caller(worker)
                caller.data(2)
                caller.end()
                await caller.until(Ended)
                assert worker.sessions == 0

    asyncio.run(go())


def test_one_too_many_is_refused(fake_runtime):
    async def go():
        async with at_work(fake_runtime, capacity=1) as worker:
            first, second = Caller(worker), Caller(worker)
            failed = await second.until(Failed)
            assert failed.code is ErrorCode.AT_CAPACITY
            first.data(1)
            await first.until(Computed)
            worker.close(first.line)
            third = Caller(worker)
            await third.until(Opened)

    asyncio.run(go())


def test_a_fast_sender_does_not_starve_the_others(fake_runtime):
    """While 1000 frames of one session wait, others get their turn after one call at most."""

    async def go():
        async with at_work(fake_runtime) as worker:
            gate = Gate(fake_runtime)
            fast, slow = Caller(worker), Caller(worker)
            await gate.close(slow)
            fast.data(1000)
            slow.data(5)
            seen = []
            slow.line.deliver = lambda outputs: (
                seen.append(fast.frames),
                slow._deliver(outputs),
            )
            gate.open()
            await slow.until_frames(6)
            await fast.until_frames(1000)
            return seen

    assert max(asyncio.run(go())) <= 40


def test_a_long_message_is_taken_in_turn_by_turn(fake_runtime):
    """Decoding all of it at once would keep the others waiting."""

    async def go():
        async with at_work(fake_runtime, max_frames=20) as worker:
            gate = Gate(fake_runtime)
            caller = Caller(worker)
            await gate.close(caller)
            caller.data(1000)
            gate.entered.clear()
            gate.open()
            gate.opened.clear()
            fake_runtime.before_run = gate
            assert await asyncio.to_thread(gate.entered.wait, 5)
            taken, _ = caller.line.pushed
            gate.open()
            await caller.until_frames(1001)
            return taken

    assert asyncio.run(go()) <= 41 * HOP_BYTES


def test_waiting_sessions_are_computed_together(fake_runtime):
    async def go():
        async with at_work(fake_runtime) as worker:
            gate = Gate(fake_runtime)
            callers = [Caller(worker) for _ in range(8)]
            await gate.close(callers[0])
            for caller in callers[1:]:
                caller.data(10)
            gate.open()
            for caller in callers[1:]:
                await caller.until(Computed)
            return callers

    callers = asyncio.run(go())
    assert fake_runtime.batches == [1, 7]
    assert [c.of(Computed)[0].batch for c in callers[1:]] == [7] * 7


def test_the_state_of_a_session_is_its_own(fake_runtime, make_fake, specs):
    async def alone(value):
        async with at_work(make_fake(specs["fake"])) as worker:
            caller = Caller(worker)
            caller.data(30, value)
            caller.end()
            await caller.until(Ended)
            return caller.probs

    async def together(values):
        async with at_work(fake_runtime) as worker:
            callers = [Caller(worker) for _ in values]
            for _ in range(30):
                for caller, value in zip(callers, values, strict=True):
                    caller.data(1, value)
            for caller in callers:
                caller.end()
            for caller in callers:
                await caller.until(Ended)
            return [caller.probs for caller in callers]

    values = [1000, 5000, 9000, 20000]
    seen = asyncio.run(together(values))
    for value, probs in zip(values, seen, strict=True):
        np.testing.assert_array_equal(probs, asyncio.run(alone(value)))


def test_closing_while_the_batch_runs_frees_the_slot_and_drops_the_result(fake_runtime):
    async def go():
        async with at_work(fake_runtime, capacity=1) as worker:
            gate = Gate(fake_runtime)
            gone = Caller(worker)
            await gone.until(Opened)
            await gate.close(gone)
            worker.close(gone.line)
            heir = Caller(worker)
            heir.data(3, 0)
            gate.open()
            await heir.until(Computed)
            assert gone.of(Computed) == []
            assert gone.line.session is None
            # The frames of the one who left must not show in the state of the heir.
            return heir.probs

    np.testing.assert_allclose(asyncio.run(go()), 1 / (1 + np.exp(2)), rtol=1e-6)


def test_closing_twice_or_after_the_end_is_harmless(fake_runtime):
    async def go():
        async with at_work(fake_runtime) as worker:
            other = Caller(worker)
            caller = Caller(worker)
            caller.end()
            await caller.until(Ended)
            worker.close(caller.line)
            worker.close(caller.line)
            caller.data(5)
            other.data(1)
            await other.until(Computed)
            assert worker.sessions == 1
            assert caller.of(Computed) == []

    asyncio.run(go())


def test_a_session_that_breaks_the_batch_is_the_only_one_to_fail(fake_runtime, caplog):
    """The call has moved every state before it fails; the others go on as if it had not been."""

    def explode(frames):
        if any((np.abs(f) > 0.9).any() for f in frames):
            raise RuntimeError("boom")

    async def go():
        async with at_work(fake_runtime) as worker:
            gate = Gate(fake_runtime)
            good, bad, also_good = (Caller(worker) for _ in range(3))
            await gate.close(good)
            good.data(10)
            bad.data(10, 32000)
            also_good.data(10)
            gate.open()
            fake_runtime.before_run = explode
            failed = await bad.until(Failed)
            for caller in (good, also_good):
                caller.data(10)
                caller.end()
                await caller.until(Ended)
            assert worker.sessions == 0
            return failed, good, also_good

    failed, good, also_good = asyncio.run(go())
    assert failed == Failed(ErrorCode.INTERNAL, "the server failed to compute this stream")
    assert (good.frames, also_good.frames) == (21, 20)
    np.testing.assert_array_equal(good.probs[:20], also_good.probs)
    assert "boom" in caplog.text


def test_nan_hits_only_the_session_that_sent_it(fake_runtime):
    async def go():
        async with at_work(fake_runtime) as worker:
            good, bad = Caller(worker), Caller(worker, encoding=Encoding.PCM_F32LE)
            bad.put(Data(memoryview(np.full(160, np.nan, "<f4").tobytes()), 0.0))
            good.data(5)
            failed = await bad.until(Failed)
            await good.until(Computed)
            assert worker.sessions == 1
            return failed

    failed = asyncio.run(go())
    assert failed.code is ErrorCode.INVALID_AUDIO


def test_outputs_of_a_batch_reach_the_loop_in_one_call(fake_runtime, monkeypatch):
    async def go():
        async with at_work(fake_runtime) as worker:
            gate = Gate(fake_runtime)
            callers = [Caller(worker) for _ in range(8)]
            await gate.close(callers[0])
            for caller in callers[1:]:
                caller.data(10)
            calls = []
            post = worker._post
            worker._post = lambda deliveries: (calls.append(len(deliveries)), post(deliveries))
            gate.open()
            for caller in callers[1:]:
                await caller.until(Computed)
            return calls

    assert [count for count in asyncio.run(go()) if count][-1] == 7


def test_a_worker_that_cannot_warm_up_says_why(fake_runtime):
    def explode(frames):
        raise RuntimeError("no device")

    fake_runtime.before_run = explode

    async def go():
        async with at_work(fake_runtime):
            pass

    with pytest.raises(RuntimeError, match="no device"):
        asyncio.run(go())


def test_groups_waste_at_most_half_on_padding():
    items = [
        (name, count) for name, count in zip("abcdefg", (10, 100, 1, 11, 19, 20, 2), strict=True)
    ]
    assert group_by_frames(items) == [["c"], ["g"], ["a", "d", "e"], ["f"], ["b"]]
    assert group_by_frames([]) == []
