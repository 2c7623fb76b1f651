"""Sequences that outlive their server: checkpoints in answers, and starts that go on from them."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import orjson
import pytest
import tritonclient.http as triton

from surnn_server.tokens import new_key


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=10) as client:
        yield client


def post(http, samples, id, model="fake", **parameters):
    samples = np.asarray(samples, np.float32)
    tensor = {"name": "audio", "datatype": "FP32", "shape": samples.shape, "data": samples.tolist()}
    parameters["sequence_id"] = id
    return http.post(
        f"/v2/models/{model}/infer",
        content=orjson.dumps({"inputs": [tensor], "parameters": parameters}, default=list),
    )


def _until(true):
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def said(response):
    """Probabilities and parameters of an answer."""
    assert response.status_code == 200, response.text
    (output,) = [o for o in response.json()["outputs"] if o["name"] == "probabilities"]
    return np.float32(output["data"]), response.json()["parameters"]


def test_an_unmodified_triton_client_goes_on_at_another_server(run_server, make_pcm):
    """The first server is gone in the middle, with an answer that never arrived."""
    pcm = np.frombuffer(make_pcm(31, 3.0), "<i2")
    chunks = [pcm[i : i + 1111] for i in range(0, len(pcm), 1111)]
    key = new_key()

    def infer(server, i, token=None):
        tensor = triton.InferInput("audio", [1, len(chunks[i])], "INT16")
        tensor.set_data_from_numpy(chunks[i][None])
        parameters = {"checkpoint": True} | ({"resume": token} if token else {})
        with triton.InferenceServerClient(server.url.removeprefix("http://")) as client:
            result = client.infer(
                "fake",
                [tensor],
                sequence_id=7,
                sequence_start=i == 0 or token is not None,
                sequence_end=i == len(chunks) - 1,
                parameters=parameters,
            )
        return result, result.get_response()["parameters"]

    def stream(cut):
        probs, events, first_frames, token = [], [], [], None
        with run_server(state_keys=key) as a, run_server(state_keys=key) as b:
            for i in range(len(chunks)):
                if i == cut:
                    infer(a, i)  # taken in, computed, and lost on the way back
                    a.stop()
                result, parameters = infer(a if i < cut else b, i, token if i == cut else None)
                token = parameters.get("checkpoint")
                assert (token is None) is (i == len(chunks) - 1)
                first_frames.append(parameters["first_frame"])
                probs.append(result.as_numpy("probabilities")[0])
                events += list(result.as_numpy("events")[0])
        return np.concatenate(probs), events, first_frames

    whole, cut = stream(len(chunks) + 9), stream(20)
    np.testing.assert_array_equal(cut[0], whole[0])
    assert cut[1:] == whole[1:]
    assert len(whole[1]) > 2


def test_a_checkpoint_is_of_its_own_request_whatever_follows(run_server, make_pcm):
    pcm = np.frombuffer(make_pcm(12, 1.0), "<i2") / 32768
    parts = np.array_split(pcm, 5)
    hold = threading.Event()
    with (
        run_server() as server,
        ThreadPoolExecutor(5) as pool,
        httpx.Client(base_url=server.url, timeout=10) as http,
    ):
        answers = [said(post(http, parts[0], 1, sequence_start=True, checkpoint=True))]
        (sequence,) = server.service.connections
        server.runtimes["fake"].before_run = lambda frames: hold.wait(10)
        waiting = []
        for i, part in enumerate(parts[1:], 1):
            waiting.append(pool.submit(post, http, part, 1, checkpoint=True))
            _until(lambda count=i: len(sequence._exchanges) == count)
        hold.set()
        answers += [said(job.result()) for job in waiting]
        ends = np.cumsum([len(part) for part in parts])
        assert [parameters["position"] for _, parameters in answers] == ends.tolist()
        for i in range(4):
            token = answers[i][1]["checkpoint"]
            again, _ = said(post(http, parts[i + 1], 2, sequence_start=True, resume=token))
            np.testing.assert_array_equal(again, answers[i + 1][0])


def test_a_sequence_that_expired_goes_on_and_two_can_go_on_from_one(run_server):
    with (
        run_server(sequence_idle_timeout_s=0.05) as server,
        httpx.Client(base_url=server.url, timeout=10) as http,
    ):
        loud, quiet = [0.9] * 500, [0.1] * 500
        _, first = said(post(http, loud, 3, sequence_start=True, checkpoint=True))
        server.wait_until_empty()
        token = first["checkpoint"]
        futures = [
            said(post(http, then, id, sequence_start=True, resume=token, sequence_end=True))
            for id, then in ((3, loud), (4, quiet))
        ]
        for (probs, parameters), then in zip(futures, (loud, quiet), strict=True):
            whole, _ = said(post(http, loud + then, 5, sequence_start=True, sequence_end=True))
            assert parameters["first_frame"] == 3
            np.testing.assert_array_equal(probs, whole[3:])
        server.wait_until_empty()
        assert server.metric("surnn_sessions_resumed_total", model="fake") == 2


def test_tokens_of_streams_and_of_sequences_are_the_same(server, http, call):
    _, first = said(post(http, [0.9] * 500, 3, sequence_start=True, checkpoint=True))

    async def go():
        async with call(server) as client:
            return await client.start(resume=first["checkpoint"])

    ready = asyncio.run(go())
    assert (ready["position"], ready["stream"]["encoding"]) == (500, "pcm_f32le")
    said(post(http, [], 3, sequence_end=True))


BAD = {
    "no text": ({"resume": 5}, 400, "resume is '5', expected the token of a checkpoint"),
    "not the first": (
        {"resume": "x", "sequence_start": False},
        400,
        "resume without sequence_start, expected it with the first request only",
    ),
    "nonsense": ({"resume": "x"}, 400, "token is not what a server wrote, or was changed since"),
    "no flag": ({"checkpoint": "yes"}, 400, "checkpoint is 'yes', expected true or false"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_resumed_is_refused(http, server, case):
    parameters, status, message = BAD[case]
    response = post(http, [0.5] * 160, 3, **{"sequence_start": True, **parameters})
    assert (response.status_code, response.json()["error"]) == (status, message)
    server.wait_until_empty()


def test_a_token_is_bound_to_weights_format_and_bits(http, server):
    _, first = said(post(http, [0.5] * 160, 3, sequence_start=True, checkpoint=True))
    token = first["checkpoint"]
    said(post(http, [], 3, sequence_end=True))
    start = {"sequence_start": True}
    other = post(http, [0.5] * 160, 3, model="sense", resume=token, **start)
    assert other.status_code == 409
    assert other.json()["error"].startswith("token belongs to weights fake-fake, expected")
    slow = post(http, [0.5] * 160, 3, resume=token, sample_rate=8000, **start)
    assert slow.json()["error"] == (
        "sample_rate is '8000', expected 16000 as in the sequence to resume"
    )
    changed = token[:60] + ("A" if token[60] != "A" else "B") + token[61:]
    assert post(http, [0.5] * 160, 3, resume=changed, **start).status_code == 400
    server.wait_until_empty()


def test_an_old_token_is_refused(run_server):
    with (
        run_server(state_ttl_s=0.001) as server,
        httpx.Client(base_url=server.url, timeout=10) as http,
    ):
        _, first = said(post(http, [0.5] * 160, 3, sequence_start=True, checkpoint=True))
        time.sleep(0.01)
        old = post(http, [0.5] * 160, 4, sequence_start=True, resume=first["checkpoint"])
        assert old.status_code == 410


def test_a_server_that_drains_answers_what_waits_with_its_checkpoint(run_server):
    hold = threading.Event()
    key = new_key()
    with (
        run_server(state_keys=key) as server,
        ThreadPoolExecutor(1) as pool,
        httpx.Client(base_url=server.url, timeout=10) as http,
    ):
        said(post(http, [0.9] * 500, 1, sequence_start=True))
        said(post(http, [0.9] * 500, "idle", sequence_start=True))
        server.runtimes["fake"].before_run = lambda frames: hold.wait(10)
        waiting = pool.submit(post, http, [0.5] * 500, 1, checkpoint=True)
        _until(lambda: any(c._exchanges for c in server.service.connections))
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        _until(lambda: len(server.service.connections) == 1)
        hold.set()
        probs, parameters = said(waiting.result(5))
        stopping.join(10)
        assert (len(probs), parameters["position"]) == (3, 1000)
    with run_server(state_keys=key) as other, httpx.Client(base_url=other.url) as http:
        token = parameters["checkpoint"]
        probs, parameters = said(post(http, [0.1] * 160, 1, sequence_start=True, resume=token))
        assert (len(probs), parameters["first_frame"]) == (1, 6)
