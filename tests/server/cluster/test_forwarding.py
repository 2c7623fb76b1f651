"""What clients see is one server, whichever member they reach."""

from __future__ import annotations

import asyncio
import io
import time
from contextlib import ExitStack

import httpx
import numpy as np
import orjson
import pytest
import soundfile

from surnn_server.apikeys import KeyLimits, Scope, add_key


@pytest.fixture
def https(members):
    """A client of each member."""
    with ExitStack() as stack:
        yield [stack.enter_context(httpx.Client(base_url=m.url, timeout=10)) for m in members]


def infer(http, id, samples, start=False, end=False):
    body = {
        "inputs": [
            {"name": "audio", "datatype": "FP32", "shape": [len(samples)], "data": samples.tolist()}
        ],
        "parameters": {"sequence_id": id, "sequence_start": start, "sequence_end": end},
    }
    answer = http.post("/v2/models/fake/infer", content=orjson.dumps(body))
    assert answer.status_code == 200, answer.text
    (probs,) = [o for o in answer.json()["outputs"] if o["name"] == "probabilities"]
    return probs["data"]


def wav(pcm):
    out = io.BytesIO()
    samples = np.frombuffer(pcm, "<i2")
    soundfile.write(out, samples, 16000, format="WAV", subtype="PCM_16")
    return out.getvalue()


def test_a_streams_state_is_had_from_any_member(members, https, call, make_pcm):
    async def go():
        async with call(members[0]) as one, call(members[1]) as other:
            ids = [(await client.start())["session"] for client in (one, other)]
            for client in (one, other):
                await client.send(make_pcm(1, 0.2))
                await client.say(type="marker", id="x")
                while (await client.hear())["type"] != "marker":
                    pass
            return await asyncio.to_thread(look, ids)

    def look(ids):
        listed = [http.get("/v1/sessions").json()["sessions"] for http in https]
        states = [http.get(f"/v1/sessions/{id}/state") for http in https for id in ids]
        bare = https[1].get(
            f"/v1/sessions/{ids[0]}/state", headers={"Accept": "application/octet-stream"}
        )
        return ids, listed, states, bare

    ids, listed, states, bare = asyncio.run(go())
    assert [id[-2:] for id in ids] == ["-0", "-1"]
    assert listed[0] == listed[1]
    assert sorted(session["session"] for session in listed[0]) == sorted(ids)
    assert [state.status_code for state in states] == [200] * 4
    assert {state.json()["position"] for state in states} == {3200}
    assert bare.headers["content-type"] == "application/octet-stream"
    assert len(bare.content) == int(bare.headers["content-length"])


@pytest.mark.parametrize("id", ["x", "x-0", "x-1", "x-7", "x-" + "9" * 50, "-", "x-²"])
def test_sessions_that_are_not_there_are_not_found(https, id):
    for http in https:
        answer = http.get(f"/v1/sessions/{id}/state")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_stream_resumes_at_another_member(members, call, make_pcm, stream_all):
    pcm = make_pcm(2, 1.0)

    async def go():
        whole = await stream_all(members[0], pcm, report="frame", checkpoint_interval_s=0)
        async with call(members[0]) as client:
            ready = await client.start(report="frame")
            await client.send(pcm[:16000])
            await client.say(type="marker", id="x")
            heard = []
            while (message := await client.hear())["type"] != "marker":
                heard.append(message)
            state = await asyncio.to_thread(
                lambda: httpx.get(f"{members[1].url}/v1/sessions/{ready['session']}/state").json()
            )
        rest = await stream_all(
            members[1], pcm[2 * state["position"] :], report="frame", resume=state["token"]
        )
        return whole, heard, rest

    whole, heard, rest = asyncio.run(go())

    def probs(messages):
        return [p for m in messages if m["type"] == "chunk" for p in m["probs"]["speech"]]

    assert rest.messages[0]["resumed"]
    assert probs(heard) + probs(rest.messages) == probs(whole.messages)


@pytest.mark.parametrize("id", [1, 2, 3, "1", "a name"])
def test_a_sequence_may_come_over_any_connection(members, https, id):
    samples = np.random.default_rng(5).uniform(-1, 1, 1600).astype(np.float32)
    pieces = [samples[:500], samples[500:501], samples[501:1200], samples[1200:]]
    alone = []
    for i, piece in enumerate(pieces):
        alone += infer(https[0], "alone", piece, i == 0, i == 3)
    mixed = []
    for i, piece in enumerate(pieces):
        mixed += infer(https[i % 2], id, piece, i == 0, i == 3)
    assert mixed == alone
    assert len(alone) == 10


def test_sequences_are_spread_and_counted_once(members, https):
    before = https[0].get("/v2/models/fake/stats").json()["model_stats"][0]["inference_count"]
    quiet = np.zeros(160, np.float32)
    for id in range(1, 9):
        infer(https[id % 2], id, quiet, start=True)
    assert [member.service.sessions for member in members] == [
        sum(members[0].service.membership.sequence_owner("fake", i) == m for i in range(1, 9))
        for m in (0, 1)
    ]
    assert all(member.service.sessions > 0 for member in members)
    assert all(member.service.all_sessions == 8 for member in members)
    for id in range(1, 9):
        infer(https[0], id, quiet, end=True)
    for http in https:
        (stats,) = http.get("/v2/models/fake/stats").json()["model_stats"]
        assert stats["inference_count"] == before + 16
        names = [m["name"] for m in http.get("/v2/models/stats").json()["model_stats"]]
        assert names == ["fake", "sense"]


def test_a_packed_request_goes_to_its_owner_as_it_is(https):
    import gzip

    samples = np.zeros(320, np.float32)
    body = {
        "inputs": [{"name": "audio", "datatype": "FP32", "shape": [320], "data": samples.tolist()}],
        "parameters": {"sequence_id": 77, "sequence_start": True, "sequence_end": True},
    }
    for http in https:
        answer = http.post(
            "/v2/models/fake/infer",
            content=gzip.compress(orjson.dumps(body)),
            headers={"Content-Encoding": "gzip"},
        )
        assert answer.status_code == 200, answer.text


def test_jobs_are_one_queue(https, make_pcm):
    file = {"files": ("a.wav", wav(make_pcm(3, 0.5)))}
    submitted = https[1].post("/v1/jobs", params={"model": "fake"}, files=file)
    assert submitted.status_code == 202, submitted.text
    path = submitted.headers["location"]
    with https[1].stream("GET", f"{path}/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        told = "".join(events.iter_text())
    assert "event: done" in told
    for http in https:
        assert http.get(path).json()["state"] == "done"
        assert http.get(f"{path}/result").json()[0]["file"] == "a.wav"
    assert https[1].delete(path).status_code == 200
    assert https[0].get(path).status_code == 404


def test_metrics_add_up_and_reloads_reach_all(members, https, stream_all, make_pcm):
    def started():
        values = []
        for http in https:
            text = http.get("/metrics").text
            (line,) = [
                line
                for line in text.splitlines()
                if line.startswith('surnn_sessions_started_total{model="fake"}')
            ]
            values.append(float(line.split()[-1]))
        assert values[0] == values[1]
        return values[0]

    before = started()
    for member in (members[0], members[1], members[1]):
        asyncio.run(stream_all(member, make_pcm(4, 0.1)))
    assert started() == before + 3
    # No models folder: the refusal of one is the refusal of all.
    answer = https[1].post("/v1/models/reload")
    assert answer.json()["error"]["code"] == "invalid_config"


def test_limits_hold_over_all_members(run_members, call, tmp_path):
    path = tmp_path / "keys.json"
    scopes = [Scope.STREAM, Scope.METRICS]
    few = add_key(path, "few", scopes, KeyLimits(max_sessions=2, requests_per_minute=1000))
    rate = add_key(path, "rate", scopes, KeyLimits(requests_per_minute=4))

    async def go(members):
        headers = {"X-API-Key": few}
        async with (
            call(members[0], additional_headers=headers) as a,
            call(members[1], additional_headers=headers) as b,
            call(members[0], additional_headers=headers) as c,
        ):
            await a.start()
            await b.start()
            await c.say(type="start", model="fake")
            return (await c.hear_all()).error["code"]

    with run_members(api_keys_file=str(path)) as members:
        assert asyncio.run(go(members)) == "quota_exceeded"
        # Each request counts once, however many members answer it.
        statuses = [
            httpx.get(f"{members[i % 2].url}/metrics", headers={"X-API-Key": rate}).status_code
            for i in range(6)
        ]
        assert statuses == [200] * 4 + [429] * 2
        deadline = time.monotonic() + 5
        while members[0].service.all_sessions:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_the_server_is_full_when_all_members_are(run_members, call):
    async def go(members):
        async with call(members[0]) as a, call(members[1]) as b:
            await a.start()
            await b.say(type="start", model="fake")
            return (await b.hear_all()).error["code"]

    with run_members(max_sessions=1) as members:
        assert asyncio.run(go(members)) == "at_capacity"
        assert httpx.get(f"{members[1].url}/readyz").json()["max_sessions"] == 1


def test_a_member_that_is_gone_is_missed_only_where_it_is_needed(run_members, call):
    async def go(members):
        async with call(members[0]) as client:
            return (await client.start())["session"]

    with run_members() as members:
        id = asyncio.run(go(members))
        members[0].stop()
        url = members[1].url
        for path in ("/v1/jobs", f"/v1/sessions/{id}/state"):
            answer = httpx.get(url + path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "at_capacity")
            assert answer.headers["retry-after"] == "1"
        assert httpx.get(url + "/v1/sessions").json() == {"sessions": []}
        assert "surnn_sessions_active" in httpx.get(url + "/metrics").text


def test_clients_may_come_when_every_member_is_there(run_members):
    with run_members() as members:
        door = members[1].service.membership.own_socket
        url = f"{members[0].url}/readyz"
        aside = door.rename(door.with_suffix(".away"))
        answer = httpx.get(url)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")
        assert "1 of 2 workers are missing" in answer.json()["error"]["message"]
        aside.rename(door)
        assert httpx.get(url).status_code == 200
