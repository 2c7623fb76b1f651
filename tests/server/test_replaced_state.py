"""`PUT /v1/sessions/{id}/state`: a live stream goes on from another state, whole or not at all."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from surnn.snapshot import pack, unpack
from surnn_client import connect
from surnn_server.apikeys import Scope, add_key
from surnn_server.tokens import new_key

RAW = {"Accept": "application/octet-stream", "Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def keyed(run_server):
    with run_server(state_keys=new_key(), checkpoint_interval_s=0) as server:
        yield server


def _url(server, session):
    return f"{server.url}/v1/sessions/{session}/state"


async def _get(server, session):
    async with httpx.AsyncClient(headers={"Accept": RAW["Accept"]}) as http:
        response = await http.get(_url(server, session))
        assert response.status_code == 200
        return response.content


async def _put(server, session, content, kind=RAW["Content-Type"], **headers):
    async with httpx.AsyncClient() as http:
        headers |= {"Content-Type": kind}
        return await http.put(_url(server, session), content=content, headers=headers)


async def _sync(client):
    """Everything that was sent is computed; what was told meanwhile."""
    await client.say(type="marker", id="sync")
    heard = []
    while (message := await client.hear())["type"] != "marker":
        heard.append(message)
    return heard


async def _finish(client, pcm):
    for i in range(0, len(pcm), 1000):
        await client.send(pcm[i : i + 1000])
    await client.say(type="end")
    return (await client.hear_all()).messages


def probs(messages):
    return [p for m in messages if m["type"] == "chunk" for p in m["probs"]["speech"]]


def events(messages):
    keys = ("number", "label", "kind", "time", "score", "sample")
    return [[m[key] for key in keys] for m in messages if m["type"] == "event"]


def total(messages):
    return {k: v for k, v in messages[-1].items() if k not in ("seq", "cost")}


CUT = 20_001
"""Bytes: in the middle of a sample."""


def test_a_live_stream_moves_to_another_server_bit_for_bit(
    keyed, run_server, call, make_pcm, stream_all
):
    pcm = make_pcm(41, 2.0)

    async def go(other):
        async with call(keyed) as old, call(other) as new, call(other) as bystander:
            session = (await old.start(report="frame"))["session"]
            target = (await new.start(report="frame"))["session"]
            await bystander.start(report="frame")
            await bystander.send(pcm[:CUT])
            await new.send(make_pcm(99, 0.3))
            await _sync(new)
            await old.send(pcm[:CUT])
            before = await _sync(old)
            state = await _get(keyed, session)
            answer = await _put(other, target, state)
            assert answer.status_code == 200
            assert answer.json()["position"] == CUT // 2
            after = await _finish(new, pcm[CUT // 2 * 2 :])
            aside = await _finish(bystander, pcm[CUT:])
            return before, after, aside

    async def undisturbed():
        return (await stream_all(keyed, pcm, report="frame")).messages

    # Neither has the other's key: what moves is the bare state.
    with run_server(max_sessions=2) as other:
        before, after, aside = asyncio.run(go(other))
    expected = asyncio.run(undisturbed())
    assert probs(before + after) == probs(expected)
    assert events(before + after) == events(expected)
    assert len(events(after)) > 2
    assert total(after) == total(expected)
    assert probs(aside) == probs(expected)
    saved, note = after[:2]
    assert (saved["type"], saved["position"], saved["replaced_position"]) == (
        "checkpoint",
        CUT // 2,
        4800,
    )
    assert saved["events"] == len(events(before))
    assert (note["type"], note["code"]) == ("warning", "state_replaced")


def test_one_stream_takes_two_futures_and_an_odd_byte_stays_in_its_sample(keyed, call, make_pcm):
    """Back to where it was, and on with something else; the split sample is the client's."""
    pcm, other = make_pcm(42, 1.0), make_pcm(43, 1.0)

    async def go():
        async with call(keyed) as client, call(keyed) as plain:
            session = (await client.start(report="frame"))["session"]
            await client.send(pcm[:16_000])
            first = await _sync(client)
            state = await _get(keyed, session)
            await client.send(pcm[16_000:])
            second = await _sync(client)
            # Half of the next sample has been sent.
            await client.send(other[:1])
            await _sync(client)
            assert (await _put(keyed, session, state)).status_code == 200
            again = await _finish(client, other[1:])
            await plain.start(report="frame")
            await plain.send(pcm[:16_000])
            return first, second, again, await _finish(plain, other)

    first, second, again, expected = asyncio.run(go())
    assert probs(first + again) == probs(expected)
    assert events(first + again) == events(expected)
    assert events(second) != events(again)


def test_a_stream_that_is_busy_is_replaced_between_two_chunks(run_server, call, make_pcm):
    """What waits when the state comes goes on from the new one; what was taken in is told first."""
    pcm = make_pcm(44, 4.0)

    async def go(server):
        async with call(server) as client, call(server) as plain:
            session = (await client.start(report="frame"))["session"]
            state = await _get(server, session)
            # One message of many turns.
            await client.send(pcm)
            answer = await _put(server, session, state)
            assert answer.status_code == 200
            heard = await _finish(client, b"")
            (saved,) = [m for m in heard if m["type"] == "checkpoint" and "replaced_position" in m]
            at = saved["replaced_position"]
            await plain.start(report="frame")
            return heard, saved, at, await _finish(plain, pcm[2 * at :])

    with run_server(max_frames=10) as server:
        server.runtimes["fake"].before_run = lambda frames: time.sleep(0.01)
        heard, saved, at, rest = asyncio.run(go(server))
    index = heard.index(saved)
    assert 0 < at < len(pcm) // 2
    assert (saved["position"], saved["events"]) == (0, 0)
    assert len(probs(heard[:index])) == at // 160
    assert probs(heard[index:]) == probs(rest)
    assert events(heard[index:]) == events(rest)


def test_the_client_goes_on_from_the_new_state_after_a_lost_connection(run_server, make_pcm):
    """The client counts anew: it reconnects from the state that was put in place."""
    first, second = make_pcm(45, 1.0), make_pcm(46, 2.0)
    key = new_key()
    with (
        run_server(state_keys=key) as a,
        run_server(state_keys=key) as b,
        httpx.Client(headers=RAW) as http,
    ):
        options = {"model": "fake", "report": "frame"}
        with connect(a.url, **options) as stream:
            stream.send(first)
            stream.marker("x")
            before = _until_marker(stream)
            state = http.get(_url(a, stream.ready.session)).content
            stream.end()
        with connect([a.url, b.url], **options) as stream:
            stream.send(make_pcm(47, 3.0))
            stream.marker("x")
            _until_marker(stream)
            put = http.put(_url(a, stream.ready.session), content=state)
            assert put.status_code == 200
            stream.send(second[:20_000])
            stream.marker("y")
            after = _until_marker(stream)
            a.stop()
            for message in stream.run([second[20_000:]]):
                after.append(message)
            assert any(type(m).__name__ == "Reconnected" for m in after)
        with connect(b.url, **options) as stream:
            expected = list(stream.run([first + second]))

    def told(messages):
        return [
            (m.number, m.label, m.kind, m.time)
            for m in messages
            if type(m).__name__ == "EventMessage"
        ]

    def frames(messages):
        return [
            p for m in messages if type(m).__name__ == "Chunk" for p in m.probs["speech"].frames
        ]

    assert told(before + after) == told(expected)
    assert frames(before + after) == frames(expected)
    assert len(told(after)) > 2


def _until_marker(stream):
    messages = []
    for message in stream:
        if type(message).__name__ == "Marker":
            return messages
        messages.append(message)
    raise AssertionError("the stream ended before its marker")


@pytest.fixture
def refused(keyed, call, make_pcm):
    """What a stream that hears nothing of it is told of a bad state; it goes on undisturbed."""
    pcm = make_pcm(48, 1.0)

    def run(make_content, kind=RAW["Content-Type"], **options):
        async def go():
            async with call(keyed) as client, call(keyed) as plain:
                session = (await client.start(report="frame", **options))["session"]
                await plain.start(report="frame", **options)
                await client.send(pcm[:10_000])
                before = await _sync(client)
                state = await _get(keyed, session)
                answer = await _put(keyed, session, make_content(state), kind)
                after = await _finish(client, pcm[10_000:])
                assert not [m for m in after if m["type"] in ("warning", "error")]
                assert probs(before + after) == probs(await _finish(plain, pcm))
                return answer.status_code, answer.json()["error"]["code"]

        return asyncio.run(go())

    return run


def _changed(**fields):
    def change(data):
        snapshot = unpack(data)
        snapshot.state = snapshot.state.model_copy(update=fields)
        return pack(snapshot)

    return change


def _array(change):
    def make(data):
        snapshot = unpack(data)
        snapshot.arrays["state.h0"] = change(snapshot.arrays["state.h0"])
        return pack(snapshot)

    return make


REFUSED = {
    "other weights": (_changed(model="fake-other"), 409, "wrong_model"),
    "other rate": (_changed(sample_rate=8000), 422, "invalid_config"),
    "other channels": (_changed(channels=2), 422, "invalid_config"),
    "too many spans": (
        lambda d: _changed(spans=unpack(d).state.spans * 2)(d),
        422,
        "invalid_token",
    ),
    "state of another shape": (_array(lambda a: a[:2]), 422, "invalid_token"),
    "state of another type": (_array(lambda a: a.astype("int64")), 422, "invalid_token"),
    "state with NaN": (_array(lambda a: a * float("nan")), 422, "invalid_token"),
    "cut off": (lambda d: d[:-1], 422, "invalid_token"),
    "nothing": (lambda d: b"", 422, "invalid_token"),
    "too large": (lambda d: bytes(2 << 20), 413, "upload_too_big"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_state_that_does_not_fit_changes_nothing(refused, keyed, case):
    make, status, code = REFUSED[case]
    assert refused(make) == (status, code)
    keyed.wait_until_empty()


def test_a_token_does_as_well_as_a_state_and_an_altered_one_does_not(keyed, refused):
    def altered(state):
        token = keyed.service.sealer.seal(unpack(state))
        changed = token[:99] + ("A" if token[99] != "A" else "B") + token[100:]
        return f'{{"token": "{changed}"}}'.encode()

    assert refused(altered, "application/json") == (422, "invalid_token")
    assert refused(lambda d: b"{}", "application/json") == (422, "invalid_request")


def test_an_old_token_is_refused(run_server, call):
    async def go(server):
        async with call(server) as client:
            session = (await client.start())["session"]
            async with httpx.AsyncClient() as http:
                token = server.service.sealer.seal(unpack(await _get(server, session)))
                await asyncio.sleep(0.01)
                return await http.put(_url(server, session), json={"token": token})

    with run_server(state_ttl_s=0.001) as server:
        # Reading a state opens the token that was just made, which is too old as well.
        server.service.sealer.ttl_s = 60
        server.service.sealer._clock = iter([0, 0, 0, 100]).__next__
        answer = asyncio.run(go(server))
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "token_expired")


def test_no_such_session(keyed):
    answer = httpx.put(_url(keyed, "nobody"), content=b"x", headers=RAW)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_only_an_admin_replaces_a_state(run_server, call, tmp_path):
    path = tmp_path / "keys.json"
    keys = {scope: add_key(path, scope.value, [scope]) for scope in (Scope.STREAM, Scope.ADMIN)}

    async def go(server):
        headers = {"X-API-Key": keys[Scope.STREAM]}
        async with call(server, additional_headers=headers) as client:
            session = (await client.start())["session"]
            state = b"x"
            own = await _put(server, session, state, **headers)
            nobody = await _put(server, session, state)
            admin = await _put(server, session, state, **{"X-API-Key": keys[Scope.ADMIN]})
            return [r.status_code for r in (own, nobody, admin)]

    with run_server(api_keys_file=str(path)) as server:
        assert asyncio.run(go(server)) == [403, 401, 422]
