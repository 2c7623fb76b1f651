"""What happens to a client that sends more than can be computed."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading

import numpy as np
import pytest

from surnn import Encoding, Model
from surnn.engine import Engine, Session, StreamConfig
from surnn.errors import InvalidConfig
from surnn_server.items import Data, Gap, MarkAt
from surnn_server.lines import Line
from surnn_server.tokens import TokenSealer, new_key
from surnn_server.turns import Turns

CHUNK = bytes(3200)


class Gate:
    """Holds up the model until it is told to go on."""

    def __init__(self, runtime):
        self._hold = threading.Event()
        runtime.before_run = lambda frames: self._hold.wait(10)

    def go_on(self):
        self._hold.set()


async def _until_arrived(server, size):
    """The only session has got so many bytes: a pong would come before the application has."""
    async with asyncio.timeout(10):
        while next(iter(server.service.connections))._session._line.accepted_bytes < size:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def test_dropped_audio_counts_as_elapsed(run_server, call):
    async def go(server):
        gate = Gate(server.runtimes["fake"])
        async with call(server) as client:
            await client.start(overflow="drop_oldest")
            await client.say(type="marker", id="first")
            for _ in range(60):
                await client.send(CHUNK)
            await client.say(type="marker", id="last")
            await _until_arrived(server, 60 * len(CHUNK))
            gate.go_on()
            await client.say(type="end")
            return await client.hear_all()

    with run_server(max_buffered_seconds=2) as server:
        heard = asyncio.run(go(server))
        assert heard.code == 1000
        warnings = [w for w in heard.of("warning") if w["code"] == "dropped"]
        lost = sum(w["end_sample"] - w["first_sample"] for w in warnings)
        assert lost >= 60 * 1600 - 2 * 16_000 - 3 * 1600
        assert lost % 1600 == 0, "whole chunks"
        (summary,) = heard.of("summary")
        assert summary["samples"] == 96_000
        assert summary["seconds"] == 6.0
        assert summary["frames"] == 600
        computed = (96_000 - lost) // 160
        assert summary["sparsity"]["possible"] == 4 * computed
        spans = [(c["first_sample"], c["end_sample"]) for c in heard.of("chunk")]
        spans += [(w["first_sample"], w["end_sample"]) for w in warnings]
        spans.sort()
        assert spans[0][0] == 0
        assert spans[-1][1] == 96_000
        assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
        order = [m.get("id", m["type"]) for m in heard.messages]
        assert order.index("first") < order.index("last")
        dropped = server.metric("surnn_dropped_seconds_total", model="fake")
        assert dropped == pytest.approx(lost / 16_000)
        server.wait_until_empty()


def test_blocking_loses_nothing_and_holds_little(run_server, call):
    """More is sent than a session and the sockets between can hold."""
    chunks, size = 200, 32_000

    async def go(server):
        gate = Gate(server.runtimes["fake"])
        async with call(server) as client:
            sock = client.websocket.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
            client.websocket.transport.set_write_buffer_limits(65_536)
            await client.start(overflow="block", report="events")
            sent = 0

            async def send():
                nonlocal sent
                for _ in range(chunks):
                    await client.send(bytes(size))
                    sent += 1
                await client.say(type="end")

            sender = asyncio.create_task(send())
            previous = -1
            while sent != previous:
                previous = sent
                await asyncio.sleep(0.3)
            held = max(c._session.waiting for c in server.service.connections)
            gate.go_on()
            heard = await client.hear_all()
            await sender
            return previous, held, heard

    with run_server(max_buffered_seconds=2, ping_timeout_s=0.1, ping_interval_s=0.05) as server:
        stuck_at, held, heard = asyncio.run(go(server))
        assert stuck_at < chunks, "the network pushed back"
        assert held <= 2 * 32_000 + size
        assert heard.code == 1000
        assert heard.messages[-1]["samples"] == chunks * size // 2
        server.wait_until_empty()


def test_a_warning_comes_once_for_each_crossing(run_server, call):
    async def go(server):
        async with call(server) as client:
            await client.start()
            heard = []
            for round_ in range(2):
                gate = Gate(server.runtimes["fake"])
                for _ in range(18):
                    await client.send(CHUNK)
                await _until_arrived(server, 18 * len(CHUNK) * (round_ + 1))
                gate.go_on()
                await client.say(type="marker", id=str(round_))
                while (message := await client.hear())["type"] != "marker":
                    heard.append(message)
            await client.say(type="end")
            return heard, await client.hear_all()

    with run_server(max_buffered_seconds=2) as server:
        before, heard = asyncio.run(go(server))
        assert heard.code == 1000
        codes = [m["code"] for m in before if m["type"] == "warning"]
        assert codes == ["falling_behind", "falling_behind"]


def test_a_loaded_server_takes_nobody_new(run_server, call):
    async def go(server):
        async with call(server) as a, call(server) as b:
            await a.start()
            gate = server.service.workers["fake"].gate
            gate.look = lambda now: False
            gate.wait_s = 0.61
            await b.say(type="start", model="fake")
            refused = await b.hear_all()
            await a.send(CHUNK)
            await a.say(type="end")
            return refused, await a.hear_all()

    with run_server() as server:
        refused, running = asyncio.run(go(server))
        assert refused.code == 1013
        assert refused.error["code"] == "at_capacity"
        assert refused.error["retry_after_s"] == 5.0
        assert refused.error["message"].startswith("streams wait 610 ms for their turn")
        assert running.code == 1000


def test_keepalive_survives_full_load(run_server, call):
    async def go(server):
        gate = Gate(server.runtimes["fake"])
        async with call(server) as client:
            await client.start()
            await client.send(CHUNK)
            for _ in range(8):
                await asyncio.sleep(0.1)
                await client.say(type="keepalive")
            gate.go_on()
            await client.say(type="end")
            return await client.hear_all()

    with run_server(idle_timeout_s=0.4, ping_interval_s=0.1, ping_timeout_s=0.3) as server:
        assert asyncio.run(go(server)).code == 1000


@pytest.mark.parametrize("option", [{"overflow": "lose"}, {"priority": "highest"}])
def test_unknown_choices_are_refused(server, call, option):
    async def go():
        async with call(server) as client:
            await client.say(type="start", model="fake", **option)
            return await client.hear_all()

    assert asyncio.run(go()).code == 4000


def _line(*items):
    line = Line(StreamConfig(), lambda outputs: None)
    line.inbox.extend(items)
    line.accepted_bytes = sum(len(i.payload) for i in items if isinstance(i, Data))
    return line


def _data(size):
    return Data(memoryview(bytes(size)), 1.0)


def test_whole_messages_are_dropped_and_markers_stay_in_their_place():
    line = _line(_data(10), _data(20), MarkAt("a"), _data(30), _data(40))
    assert line.drop_oldest(35) == 60
    assert list(line.inbox)[:3] == [Gap(30, 1.0), MarkAt("a"), Gap(30, 1.0)]
    assert line.waiting(1.0) == 40
    assert line.drop_oldest(1) == 40
    assert list(line.inbox) == [Gap(30, 1.0), MarkAt("a"), Gap(70, 1.0)]
    assert line.waiting(1.0) == 0
    assert line.drop_oldest(1) == 0


def test_what_was_dropped_meanwhile_is_not_taken():
    first, second = _data(10), _data(20)
    line = _line(first, second)
    line.drop_oldest(1)
    assert not line.take(first)
    assert line.take(line.inbox[0])
    assert line.take(second, Data(second.payload[5:], 1.0))
    assert line.waiting(1.0) == 20, "what was taken waits until it is counted as frames"


def test_what_the_worker_takes_in_just_now_waits_too(fake_runtime, monkeypatch):
    """Samples on their way from the inbox to the session must not look as if they were done."""
    turns = Turns(Engine(fake_runtime), 100, TokenSealer([new_key()], 60.0))
    line = _line(_data(3200), _data(3200))
    seen = []
    push = Session.push

    def watched(session, data):
        seen.append(line.waiting(320.0))
        push(session, data)
        seen.append(line.waiting(320.0))

    monkeypatch.setattr(Session, "push", watched)
    turns.advance(line, [], take_data=True)
    assert [*seen, line.waiting(320.0)] == [6400.0] * 5


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize("lost", [1, 999, 16_000, 100_001])
def test_a_gap_moves_time_by_exactly_its_length(fake_runtime, rate, lost):
    engine = Engine(fake_runtime)
    session = engine.open(StreamConfig(sample_rate=rate, encoding=Encoding.MULAW))

    def step():
        while session.ready:
            engine.step([session])

    session.push(b"\xff" * 5000)
    step()
    rest = engine.skip(session, lost)
    session.push(Encoding.MULAW.silence * rest)
    session.push(b"\xff" * 5000)
    step()
    assert session.ingest.position == 10_000 + lost
    session.finish()
    step()
    assert session.frames == -(-(10_000 + lost) * 100 // rate)
    assert int(engine.pool.read(session.slot)["t"]) == session.frames
    assert session.sparsity().possible == 4 * (session.frames - session.missing)


@pytest.mark.parametrize("lookahead", [0, 5])
def test_events_behind_a_gap_are_dated_right(make_fake, specs, lookahead):
    spec = specs["fake"].model_copy(update={"lookahead": lookahead})
    engine = Engine(make_fake(spec))
    session = engine.open()
    session.push(np.zeros(1600, np.int16))
    engine.step([session])
    assert engine.skip(session, 16_000) == 0
    session.push(np.full(1600, 30_000, np.int16))
    (result,) = engine.step([session])
    assert result.first_frame == 110 - lookahead
    (event,) = result.events
    first = int(np.argmax(result.probs[:, 0] >= 0.5))
    assert event.time == (result.first_frame + first) / 100


def test_frames_before_a_gap_come_first(fake_runtime):
    session_engine = Engine(Model(fake_runtime).runtime)
    session = session_engine.open()
    session.push(np.zeros(1600, np.int16))
    with pytest.raises(InvalidConfig, match="10 frames wait, expected none before a gap"):
        session_engine.skip(session, 100)
