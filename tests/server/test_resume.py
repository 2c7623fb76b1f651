"""Checkpoints: a stream goes on from any of them, in any server that has the key."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest

from surnn_server.tokens import new_key

KEY = new_key()
OPTIONS = {"sample_rate": 8000, "channels": 2, "report": "frame"}
WIDTH = 4


async def talk(client, pcm, size=1600, *, lockstep=False, **start):
    """Send everything, end, hear everything; `start` is the first message.

    In lockstep each message is computed before the next one is sent.
    """
    messages = [await client.start(**start)]
    for i in range(0, len(pcm), size):
        await client.send(pcm[i : i + size])
        if lockstep:
            await client.say(type="marker", id="x")
            while messages[-1]["type"] != "marker":
                messages.append(await client.hear())
            messages.pop()
    await client.say(type="end")
    heard = await client.hear_all()
    heard.messages = messages + heard.messages
    return heard


def probs(heard):
    return [p for chunk in heard.of("chunk") for p in chunk["probs"]["speech"]]


def events(heard):
    keys = ("number", "label", "kind", "time", "score", "sample")
    return [{key: event[key] for key in keys} for event in heard.of("event")]


def whole(summary):
    return {k: v for k, v in summary.items() if k not in ("seq", "cost")}


@pytest.fixture(scope="module")
def keyed(run_server):
    with run_server(state_keys=KEY) as server:
        yield server


@pytest.fixture
def token(keyed, call):
    async def go():
        async with call(keyed) as client:
            await client.start(checkpoint_interval_s=0.1)
            await client.send(bytes(16000))
            while (message := await client.hear())["type"] != "checkpoint":
                pass
            return message["token"]

    return asyncio.run(go())


@pytest.mark.parametrize("merged", [0, 130])
def test_a_stream_goes_on_from_every_checkpoint(keyed, call, make_pcm, merged):
    pcm = make_pcm(3, 3.0)

    async def go():
        async with call(keyed) as client:
            first = await talk(
                client,
                pcm,
                lockstep=True,
                **OPTIONS,
                checkpoint_interval_s=0.3,
                report_interval_ms=merged,
            )
        heard = []
        for saved in first.of("checkpoint"):
            async with call(keyed) as client:
                rest = pcm[saved["position"] * WIDTH :]
                heard.append(await talk(client, rest, resume=saved["token"], report="frame"))
        return first, heard

    first, resumed = asyncio.run(go())
    saves = first.of("checkpoint")
    assert len(saves) >= 5
    assert len(events(first)) > 8
    for saved, rest in zip(saves, resumed, strict=True):
        ready = rest.messages[0]
        assert ready["resumed"] is True
        assert ready["model"]["name"] == "fake"
        assert ready["stream"] == {"encoding": "pcm_s16le", "sample_rate": 8000, "channels": 2}
        for name in ("position", "frames", "events"):
            assert ready[name] == saved[name]
        before = [m for m in first.messages if m["seq"] < saved["seq"]]
        assert sum(m["type"] == "event" for m in before) == saved["events"]
        assert sum(m["frames"] for m in before if m["type"] == "chunk") == saved["frames"]
        assert probs(rest) == probs(first)[saved["frames"] :]
        assert events(rest) == events(first)[saved["events"] :]
        assert whole(rest.messages[-1]) == whole(first.messages[-1])
    keyed.wait_until_empty()
    assert keyed.metric("surnn_sessions_resumed_total", model="fake") >= len(saves)


def test_frames_that_the_client_knows_are_not_reported_again(keyed, call, make_pcm):
    pcm = make_pcm(4, 1.0)

    async def go(known, **options):
        async with call(keyed) as client:
            return await talk(client, pcm, 3200, lockstep=True, reported_frames=known, **options)

    full = asyncio.run(go(0, report="frame"))
    for known in (1, 10, 13, 99, 100, 1000):
        part = asyncio.run(go(known, report="frame"))
        assert probs(part) == probs(full)[known:]
        assert events(part) == events(full), "events are numbered instead"
    chunk = asyncio.run(go(13, report="chunk")).of("chunk")[0]
    assert (chunk["start"], chunk["first_sample"], chunk["frames"]) == (0.13, 13 * 160, 7)
    # The model opens as many neurons as the frame's number says, modulo 3.
    assert chunk["sparsity"]["updates"] == sum(frame % 3 for frame in range(13, 20))


def test_checkpoints_can_be_turned_off_and_have_a_least_distance(keyed, call):
    async def go(interval):
        async with call(keyed) as client:
            return await talk(
                client, bytes(96000), 1600, lockstep=True, checkpoint_interval_s=interval
            )

    off, close = asyncio.run(go(0)), asyncio.run(go(0.001))
    assert off.of("checkpoint") == []
    assert off.messages[0]["limits"]["checkpoint_interval_s"] == 0
    assert close.messages[0]["limits"]["checkpoint_interval_s"] == 0.1
    positions = [saved["position"] for saved in close.of("checkpoint")]
    assert positions[0] <= 1600
    # By the stream every 1600 samples; sooner where the clock was faster.
    assert {b - a for a, b in itertools.pairwise(positions)} <= {800, 1600}


def test_a_slow_stream_is_saved_by_the_clock(run_server, call):
    async def go(server):
        async with call(server) as client:
            await client.start()
            while True:
                await client.send(bytes(320))
                await asyncio.sleep(0.02)
                if (message := await client.hear())["type"] == "checkpoint":
                    return message

    with run_server(checkpoint_interval_s=0.3, max_session_s=5) as server:
        began = time.monotonic()
        assert 0 < asyncio.run(go(server))["position"] < 8000
        assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("settings", "code", "close"),
    [
        ({"idle_timeout_s": 0.1}, "idle_timeout", 4031),
        ({"max_session_s": 0.2}, "max_duration", 4032),
        ({}, "draining", 1001),
    ],
)
def test_a_server_that_ends_a_stream_hands_it_over(
    run_server, call, make_pcm, settings, code, close
):
    pcm = make_pcm(5, 1.0)
    cut = 20_002

    async def first(server):
        async with call(server) as client:
            await client.start(report="frame", checkpoint_interval_s=0)
            await client.send(pcm[:cut])
            await client.say(type="marker", id="x")
            messages = []
            while (message := await client.hear())["type"] != "marker":
                messages.append(message)
            if code == "draining":
                threading.Thread(target=server.stop).start()
            heard = await client.hear_all()
            heard.messages = messages + heard.messages
            return heard

    async def rest(server, token, position):
        async with call(server) as client:
            return await talk(client, pcm[2 * position :], resume=token, report="frame")

    async def undisturbed(server):
        async with call(server) as client:
            return await talk(client, pcm, report="frame")

    with run_server(state_keys=KEY, **settings) as server:
        heard = asyncio.run(first(server))
        if code != "draining":
            server.wait_until_empty()
    assert heard.code == close
    error = heard.error
    assert error["code"] == code
    assert error["retryable"] is True
    assert error["position"] == cut // 2
    with run_server(state_keys=KEY) as server:
        after = asyncio.run(rest(server, error["token"], error["position"]))
        full = asyncio.run(undisturbed(server))
        server.wait_until_empty()
    assert probs(heard) + probs(after) == probs(full)
    assert events(heard) + events(after) == events(full)


def test_what_waits_is_left_to_the_next_server(run_server, call, make_pcm):
    """Draining does not wait for a long queue: the token says where it stopped."""
    pcm = make_pcm(6, 8.0)
    entered, hold = threading.Event(), threading.Event()

    async def first(server):
        def slow(frames):
            entered.set()
            hold.wait(5)

        async with call(server) as client:
            await client.start(report="frame")
            server.runtimes["fake"].before_run = slow
            for i in range(0, len(pcm), 6400):
                await client.send(pcm[i : i + 6400])
            await asyncio.to_thread(entered.wait)
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            await asyncio.to_thread(wait_until_draining, server)
            hold.set()
            return await client.hear_all()

    async def rest(server, error):
        async with call(server) as client:
            return await talk(
                client, pcm[2 * error["position"] :], resume=error["token"], report="frame"
            )

    async def undisturbed(server):
        async with call(server) as client:
            return await talk(client, pcm, report="frame")

    with run_server(state_keys=KEY) as server:
        heard = asyncio.run(first(server))
    assert heard.error["position"] < len(pcm) // 2 - 16000
    assert len(heard.error["token"]) < 4000
    with run_server(state_keys=KEY) as server:
        after = asyncio.run(rest(server, heard.error))
        full = asyncio.run(undisturbed(server))
    assert probs(heard) + probs(after) == probs(full)


@pytest.mark.parametrize("code", ["draining", "idle_timeout", "max_duration"])
def test_a_worker_that_is_stuck_does_not_hold_up_the_end(run_server, call, code):
    """The session is not saved then, but may go on from an earlier checkpoint."""
    entered, hold = threading.Event(), threading.Event()
    settings = {"idle_timeout": {"idle_timeout_s": 0.3}, "max_duration": {"max_session_s": 0.3}}

    async def go(server):
        def stuck(frames):
            entered.set()
            hold.wait(10)

        async with call(server) as client:
            await client.start()
            server.runtimes["fake"].before_run = stuck
            await client.send(bytes(3200))
            await asyncio.to_thread(entered.wait)
            if code == "draining":
                threading.Thread(target=server.stop).start()
            try:
                return await client.hear_all()
            finally:
                hold.set()

    with run_server(close_timeout_s=0.2, **settings.get(code, {})) as server:
        heard = asyncio.run(go(server))
    assert heard.error["code"] == code
    assert heard.error["retryable"] is True
    assert "token" not in heard.error


def test_a_token_is_a_copy(keyed, call, token, make_pcm):
    """The old connection may be half open: who comes with a token gets a stream of its own."""
    pcm = make_pcm(7, 0.5)

    async def go():
        async with call(keyed) as one, call(keyed) as other:
            return await asyncio.gather(
                talk(one, pcm, resume=token, report="frame"),
                talk(other, pcm, resume=token, report="frame"),
            )

    one, other = asyncio.run(go())
    assert probs(one) == probs(other)
    assert one.messages[0]["session"] != other.messages[0]["session"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 8000}, "sample_rate is 8000, expected 16000 as in the session to resume"),
        ({"encoding": "mulaw"}, "encoding is mulaw, expected pcm_s16le as in"),
        ({"channels": 2}, "channels is 2, expected 1 as in"),
        ({"thresholds": {"speech": {"on": 0.9}}}, "thresholds are {'speech': {'on': 0.9}}, expe"),
    ],
)
def test_options_that_contradict_the_token_are_refused(keyed, call, token, options, message):
    heard = refused(keyed, call, resume=token, **options)
    assert (heard.code, heard.error["code"]) == (4000, "invalid_config")
    assert heard.error["message"].startswith(message)
    assert heard.error["retryable"] is False


def test_options_that_agree_are_fine(keyed, call, token):
    async def go():
        async with call(keyed) as client:
            return await talk(
                client, b"", resume=token, model="fake", sample_rate=16000, encoding="pcm_s16le"
            )

    assert asyncio.run(go()).code == 1000


def test_a_token_is_for_its_model_only(keyed, call, token):
    heard = refused(keyed, call, model="sense", resume=token)
    assert (heard.code, heard.error["code"]) == (4004, "wrong_model")
    assert "expected those of 'sense': fake-sense" in heard.error["message"]
    heard = refused(keyed, call, model="other", resume=token)
    assert (heard.code, heard.error["code"]) == (4004, "unknown_model")


@pytest.mark.parametrize("at", [0, 1, 50, -30, -3, -1])
def test_a_changed_token_is_refused(keyed, call, token, at):
    other = "A" if token[at] != "A" else "B"
    end = token[at:][1:]
    heard = refused(keyed, call, resume=token[:at] + other + end)
    assert (heard.code, heard.error["code"]) == (4004, "invalid_token")


@pytest.mark.parametrize("bad", ["", "x", "ä" * 10, "A" * 300_000])
def test_what_is_no_token_is_refused(keyed, call, bad):
    heard = refused(keyed, call, resume=bad)
    assert (heard.code, heard.error["code"]) == (4004, "invalid_token")


def test_a_token_of_another_key_is_refused_and_of_an_old_key_taken(run_server, call, token):
    with run_server(state_keys=new_key()) as server:
        assert refused(server, call, resume=token).error["code"] == "invalid_token"
    with run_server(state_keys=f"{new_key()}, {KEY}") as server:

        async def go():
            async with call(server) as client:
                return await client.start(resume=token)

        assert asyncio.run(go())["resumed"] is True


def test_an_old_token_is_refused(run_server, call, token):
    with run_server(state_keys=KEY, state_ttl_s=0.001) as server:
        while True:
            heard = refused(server, call, resume=token)
            if heard.error["code"] == "token_expired":
                break
        assert heard.code == 4008
        assert "expected at most 0 s" in heard.error["message"]


def test_a_server_keeps_working_without_a_key(run_server, call, make_pcm):
    async def go(server):
        async with call(server) as client:
            return await talk(client, make_pcm(8), lockstep=True, checkpoint_interval_s=0.2)

    with run_server() as server:
        heard = asyncio.run(go(server))
        assert len(heard.of("checkpoint")) >= 3


def wait_until_draining(server):
    while server.service.state == "ready":
        time.sleep(0.005)
    time.sleep(0.02)


def refused(server, call, **start):
    async def go():
        async with call(server) as client:
            await client.say(type="start", **start)
            return await client.hear_all()

    heard = asyncio.run(go())
    server.wait_until_empty()
    return heard
