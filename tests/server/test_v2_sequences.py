"""Stateful sequences, with the Triton client as it comes and by hand."""

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

from surnn import Model


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=10) as client:
        yield client


def step(http, samples, id, start=False, end=False, model="fake", **parameters):
    samples = np.asarray(samples, np.float32)
    parameters |= {"sequence_id": id, "sequence_start": start, "sequence_end": end}
    tensor = {"name": "audio", "datatype": "FP32", "shape": samples.shape, "data": samples.tolist()}
    body = {"inputs": [tensor], "parameters": parameters}
    return http.post(f"/v2/models/{model}/infer", content=orjson.dumps(body, default=list))


def probs_of(response):
    assert response.status_code == 200, response.text
    (output,) = [o for o in response.json()["outputs"] if o["name"] == "probabilities"]
    return np.float32(output["data"])


def until_waiting(sequence, count):
    deadline = time.monotonic() + 5
    while len(sequence._exchanges) < count:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def stream_with_triton(url, sequence, samples, sizes, name, datatype, packed=None):
    """What an unmodified client gets: probabilities, open rates and events of all its chunks."""
    model = "fake" if name == "audio" else "sense"
    probs, rates, events = [], [], []
    with triton.InferenceServerClient(url.removeprefix("http://")) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(model)
        assert client.get_model_metadata(model)["inputs"][0]["name"] == name
        assert "sequence_batching" in client.get_model_config(model)
        ends = np.cumsum(sizes)
        for i, end in enumerate(ends):
            chunk = samples[end - sizes[i] : end][None]
            tensor = triton.InferInput(name, chunk.shape, datatype)
            tensor.set_data_from_numpy(chunk, binary_data=i % 3 != 2)
            result = client.infer(
                model,
                [tensor],
                request_id=f"chunk {i}",
                sequence_id=sequence,
                sequence_start=i == 0,
                sequence_end=i == len(sizes) - 1,
                outputs=None
                if i % 2
                else [
                    triton.InferRequestedOutput(output, binary_data=i % 4 == 0)
                    for output in ("events", "probabilities", "open_rate")
                ],
                request_compression_algorithm=packed,
            )
            assert result.get_response()["id"] == f"chunk {i}"
            probs.append(result.as_numpy("probabilities")[0])
            rates.append(result.as_numpy("open_rate")[0])
            events += [orjson.loads(text) for text in result.as_numpy("events")[0]]
        statistics = client.get_inference_statistics(model)["model_stats"][0]
        assert statistics["inference_count"] >= len(sizes)
    return np.concatenate(probs), np.concatenate(rates), events


def random_sizes(seed, total):
    """Chunks of any size, some of them empty."""
    random = np.random.default_rng(seed)
    cuts = np.sort(random.integers(0, total + 1, size=25))
    return np.diff(np.concatenate([[0], cuts, [total]]))


@pytest.mark.parametrize(
    ("name", "datatype", "sequence", "packed"),
    [
        ("audio", "INT16", 42, None),
        ("audio", "FP32", "a name", "gzip"),
        ("samples", "FP32", 2**64 - 1, "deflate"),
    ],
)
def test_an_unmodified_triton_client_streams_what_the_library_streams(
    server, make_pcm, make_fake, specs, name, datatype, sequence, packed
):
    if name == "audio":
        samples = np.frombuffer(make_pcm(11, 2.0), "<i2")
        if datatype == "FP32":
            samples = (samples / 32768).astype(np.float32)
    else:
        samples = np.random.default_rng(1).normal(size=(300, 3)).astype(np.float32)
    sizes = random_sizes(2, len(samples))
    probs, rates, events = stream_with_triton(
        server.url, sequence, samples, sizes, name, datatype, packed
    )
    spec = specs["fake" if name == "audio" else "sense"]
    with Model(make_fake(spec)).stream() as stream:
        chunks = stream.feed(samples)
        last, closing = stream.finish()
    chunks += last
    np.testing.assert_array_equal(probs, np.concatenate([c.probs for c in chunks]))
    np.testing.assert_array_equal(rates, np.concatenate([c.open_rates for c in chunks]))
    expected = [*(e for c in chunks for e in c.events), *closing]
    assert [(e["kind"], e["time"]) for e in events] == [(e.kind.value, e.time) for e in expected]
    assert len(expected) or name == "samples"
    server.wait_until_empty()


def test_sequences_and_websocket_streams_share_batches(run_server, call):
    hold, computing = threading.Event(), threading.Event()

    def wait(frames):
        computing.set()
        hold.wait(10)

    async def go(server, http):
        async with call(server) as client:
            await client.start()
            probs_of(await asyncio.to_thread(step, http, [0.5] * 160, 9, start=True))
            (sequence,) = (c for c in server.service.connections if hasattr(c, "format"))
            server.runtimes["fake"].before_run = wait
            server.runtimes["fake"].batches.clear()
            await client.send(bytes(320))
            await asyncio.to_thread(computing.wait, 5)
            # The worker is busy: both of these wait for its next call.
            posted = asyncio.create_task(asyncio.to_thread(step, http, [0.5] * 160, 9, end=True))
            await asyncio.to_thread(until_waiting, sequence, 1)
            await client.send(bytes(320))
            await asyncio.sleep(0.1)
            hold.set()
            await client.say(type="end")
            return await client.hear_all(), probs_of(await posted)

    with run_server() as server, httpx.Client(base_url=server.url, timeout=10) as http:
        heard, probs = asyncio.run(go(server, http))
        assert heard.code == 1000
        assert len(probs) == 1
        assert server.runtimes["fake"].batches[:2] == [1, 2]
        server.wait_until_empty()


def test_a_sequence_has_to_be_started(http, server):
    response = step(http, [0.0] * 160, 77)
    assert response.status_code == 400
    assert response.json() == {
        "error": "inference request for sequence 77 to model 'fake' must specify the START flag on "
        "the first request of the sequence"
    }
    # Numbers and names are different sequences.
    probs_of(step(http, [0.5] * 160, "77", start=True))
    assert step(http, [0.0] * 160, 77).status_code == 400
    probs_of(step(http, [], "77", end=True))
    ended = step(http, [0.0] * 160, "77")
    assert ended.json()["error"].endswith("; of sequence 77: it has ended")
    server.wait_until_empty()


def test_a_silent_sequence_expires_and_says_so(run_server):
    with run_server(sequence_idle_timeout_s=0.05) as server:
        with httpx.Client(base_url=server.url) as http:
            probs_of(step(http, [0.5] * 160, 5, start=True))
            server.wait_until_empty()
            response = step(http, [0.5] * 160, 5)
            assert response.status_code == 400
            assert response.json()["error"].endswith(
                "must specify the START flag on the first request of the sequence; "
                "of sequence 5: it expired: no request came for 0.05 s"
            )
            assert len(probs_of(step(http, [0.5] * 160, 5, start=True))) == 1
        name = "surnn_sessions_ended_total"
        server.wait_until_empty()
        assert server.metric(name, model="fake", reason="idle_timeout") == 2


def test_a_sequence_that_is_used_does_not_expire(run_server):
    with (
        run_server(sequence_idle_timeout_s=1.0) as server,
        httpx.Client(base_url=server.url) as http,
    ):
        for i in range(6):
            probs_of(step(http, [0.5] * 160, 5, start=i == 0))
            time.sleep(0.25)


def test_a_sequence_may_last_only_so_long(run_server):
    with run_server(max_session_s=0.05) as server, httpx.Client(base_url=server.url) as http:
        probs_of(step(http, [0.5] * 160, 5, start=True))
        time.sleep(0.06)
        response = step(http, [0.5] * 160, 5)
        assert response.status_code == 400
        assert response.json()["error"] == "the sequence lasted 0.05 s, its limit"
        server.wait_until_empty()


def test_a_second_start_begins_anew(http, server):
    first = probs_of(step(http, [0.9] * 1600, 6, start=True))
    again = probs_of(step(http, [0.9] * 1600, 6, start=True, end=True))
    np.testing.assert_array_equal(first, again)
    server.wait_until_empty()


def test_requests_of_one_sequence_that_overlap_are_computed_in_order(run_server, make_pcm):
    pcm = np.frombuffer(make_pcm(12, 1.0), "<i2") / 32768
    parts = np.array_split(pcm, 9)
    hold = threading.Event()
    with (
        run_server() as server,
        ThreadPoolExecutor(8) as pool,
        httpx.Client(base_url=server.url, timeout=10) as http,
    ):
        expected = probs_of(step(http, pcm, 1, start=True, end=True))
        whole = [probs_of(step(http, parts[0], 2, start=True))]
        server.runtimes["fake"].before_run = lambda frames: hold.wait(10)
        (sequence,) = server.service.connections
        waiting = []
        for i, part in enumerate(parts[1:], 1):
            waiting.append(pool.submit(step, http, part, 2, end=i == 8))
            until_waiting(sequence, i)
        hold.set()
        whole += [probs_of(job.result()) for job in waiting]
        np.testing.assert_array_equal(np.concatenate(whole), expected)
        server.wait_until_empty()


def test_too_many_waiting_requests_of_one_sequence_are_refused(run_server):
    hold = threading.Event()
    with (
        run_server() as server,
        ThreadPoolExecutor(20) as pool,
        httpx.Client(base_url=server.url, timeout=10) as http,
    ):
        probs_of(step(http, [0.5] * 160, 2, start=True))
        server.runtimes["fake"].before_run = lambda frames: hold.wait(10)
        waiting = [pool.submit(step, http, [0.5] * 160, 2) for _ in range(17)]
        deadline = time.monotonic() + 5
        while not (refused := [job for job in waiting if job.done()]):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        hold.set()
        assert [job.result().status_code for job in refused] == [503]
        assert sorted(job.result().status_code for job in waiting) == [200] * 16 + [503]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"sample_rate": 8000}, "sample_rate is '8000', expected 16000 as at the start"),
        ({"encoding": "f32le"}, "encoding is 'f32le', expected pcm_f32le as at the start"),
    ],
)
def test_a_sequence_keeps_its_format(http, second, message):
    probs_of(step(http, [0.5] * 160, 3, start=True))
    response = step(http, [0.5] * 160, 3, **second)
    assert response.status_code == 400
    assert response.json()["error"].startswith(message)
    assert len(probs_of(step(http, [0.5] * 160, 3, end=True, sample_rate=16000))) == 1


def test_poisoned_samples_end_one_sequence_only(http, server):
    probs_of(step(http, [0.5] * 160, 3, start=True))
    probs_of(step(http, [0.5] * 160, 4, start=True))
    bad = step(http, [100.0] * 160, 3)
    assert bad.status_code == 400
    assert bad.json()["error"].startswith("samples reach 100, expected")
    later = step(http, [0.5] * 160, 3)
    assert "of sequence 3: samples reach 100" in later.json()["error"]
    assert len(probs_of(step(http, [0.5] * 160, 4, end=True))) == 1
    server.wait_until_empty()


def test_a_server_that_drains_and_is_stuck_tells_who_waits(run_server):
    hold = threading.Event()
    with (
        run_server(close_timeout_s=0.2) as server,
        ThreadPoolExecutor(1) as pool,
        httpx.Client(base_url=server.url, timeout=10) as http,
    ):
        probs_of(step(http, [0.5] * 160, 1, start=True))
        server.runtimes["fake"].before_run = lambda frames: hold.wait(10)
        waiting = pool.submit(step, http, [0.5] * 160, 1)
        (sequence,) = server.service.connections
        until_waiting(sequence, 1)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        response = waiting.result(5)
        hold.set()
        stopping.join(10)
        assert response.status_code == 503
        assert response.json()["error"].startswith("the server is shutting down")
