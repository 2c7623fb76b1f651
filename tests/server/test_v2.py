"""The Open Inference Protocol over HTTP: metadata, whole signals, wrong requests."""

from __future__ import annotations

import gzip
import json
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from surnn import Model


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=10) as client:
        yield client


@pytest.fixture
def embedded(specs, make_fake):
    """What the library itself makes of a whole signal: probabilities, open rates, events."""

    def run(samples, model="fake", **options):
        with Model(make_fake(specs[model])).stream(**options) as stream:
            chunks = stream.feed(samples)
            last, closing = stream.finish()
        chunks += last
        events = [e for chunk in chunks for e in chunk.events] + closing
        return (
            np.concatenate([chunk.probs for chunk in chunks]),
            np.concatenate([chunk.open_rates for chunk in chunks]),
            [(e.label, e.kind.value, e.time) for e in events],
        )

    return run


def infer(http, samples, model="fake", datatype="FP32", shape=None, name="audio", **rest):
    tensor = {
        "name": name,
        "datatype": datatype,
        "shape": list(samples.shape if shape is None else shape),
        "data": samples.ravel().tolist(),
    }
    return http.post(f"/v2/models/{model}/infer", json={"inputs": [tensor], **rest})


def test_health_and_metadata(http):
    assert http.get("/v2/health/live").json() == {"live": True}
    assert http.get("/v2/health/ready").json() == {"ready": True}
    about = http.get("/v2").json()
    assert about["name"] == "surnn"
    assert {"sequence", "sequence(string_id)", "binary_tensor_data"} <= set(about["extensions"])
    assert http.get("/v2/models/fake").json() == {
        "name": "fake",
        "versions": ["1"],
        "platform": "surnn_fake",
        "inputs": [{"name": "audio", "datatype": "FP32", "shape": [1, -1]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [1, -1, 1]},
            {"name": "open_rate", "datatype": "FP32", "shape": [1, -1, 1]},
            {"name": "events", "datatype": "BYTES", "shape": [1, -1]},
        ],
    }
    sense = http.get("/v2/models/sense/versions/1").json()
    assert sense["inputs"] == [{"name": "samples", "datatype": "FP32", "shape": [1, -1, 3]}]
    assert http.get("/v2/models/fake/ready").json() == {"name": "fake", "ready": True}
    assert http.get("/v2/models/fake/versions/1/ready").status_code == 200
    config = http.get("/v2/models/fake/config").json()
    assert config["sequence_batching"]["max_sequence_idle_microseconds"] == 60_000_000
    assert config["input"] == [{"name": "audio", "data_type": "TYPE_FP32", "dims": [1, -1]}]
    index = http.post("/v2/repository/index", json={}).json()
    assert [(m["name"], m["state"]) for m in index] == [("fake", "READY"), ("sense", "READY")]


def test_a_server_that_drains_is_not_ready(run_server):
    with run_server() as server:
        server.service.state = type(server.service.state).DRAINING
        for path in ("health/ready", "models/fake/ready"):
            response = httpx.get(f"{server.url}/v2/{path}")
            assert response.status_code == 503
            assert response.json()["ready"] is False
        with httpx.Client(base_url=server.url) as http:
            response = infer(http, np.zeros(160))
        assert response.status_code == 503
        assert response.headers["retry-after"]
        assert response.json() == {
            "error": "the server is shutting down, try another or later",
        }


def test_a_whole_signal_gives_what_the_library_gives(http, make_pcm, embedded, server):
    pcm = np.frombuffer(make_pcm(3, 1.5), "<i2")
    probs, open_rates, events = embedded(pcm)
    response = infer(http, pcm, datatype="INT16", id="my request")
    assert response.status_code == 200
    body = response.json()
    assert body["id"] == "my request"
    assert (body["model_name"], body["model_version"]) == ("fake", "1")
    by_name = {output["name"]: output for output in body["outputs"]}
    assert by_name["probabilities"]["shape"] == [1, 150, 1]
    np.testing.assert_array_equal(np.float32(by_name["probabilities"]["data"]), probs.ravel())
    np.testing.assert_array_equal(np.float32(by_name["open_rate"]["data"]), open_rates.ravel())
    seen = [json.loads(text) for text in by_name["events"]["data"]]
    assert [(e["label"], e["kind"], e["time"]) for e in seen] == events
    assert events
    assert body["parameters"]["first_frame"] == 0
    assert body["parameters"]["possible"] == 600
    server.wait_until_empty()


def test_any_shape_type_and_rate_that_make_sense(http, make_pcm, embedded):
    pcm = np.frombuffer(make_pcm(4, 0.5), "<i2")
    floats = (pcm / 32768).astype(np.float32)
    expected = embedded(floats)[0].ravel()

    def probs(*args, **options):
        response = infer(http, *args, **options, outputs=[{"name": "probabilities"}])
        assert response.status_code == 200, response.text
        (output,) = response.json()["outputs"]
        return np.float32(output["data"])

    for shaped in (floats, floats[None], floats[:, None], floats[None, :, None]):
        np.testing.assert_array_equal(probs(shaped), expected)
    slow = embedded(floats, sample_rate=8000)[0].ravel()
    np.testing.assert_array_equal(probs(floats, parameters={"sample_rate": 8000}), slow)
    stereo = np.stack([floats, floats], axis=1)
    np.testing.assert_array_equal(probs(stereo, parameters={"channels": 2}), expected)
    octets = np.frombuffer(pcm.tobytes(), np.uint8)
    raw = probs(octets, datatype="UINT8", parameters={"encoding": "pcm_s16le"})
    np.testing.assert_array_equal(raw, expected)


def test_sensors(http, embedded):
    samples = np.random.default_rng(5).normal(size=(1, 70, 3)).astype(np.float32)
    response = infer(http, samples, model="sense", name="samples")
    output = response.json()["outputs"][0]
    assert output["shape"] == [1, 70, 2]
    expected = embedded(samples[0], "sense", encoding="f32le")[0]
    np.testing.assert_array_equal(np.float32(output["data"]), expected.ravel())


def test_a_raw_body_is_one_tensor_and_is_answered_in_binary(http, make_pcm, embedded):
    floats = (np.frombuffer(make_pcm(6, 0.3), "<i2") / 32768).astype(np.float32)
    response = http.post(
        "/v2/models/fake/infer",
        content=floats.tobytes(),
        headers={"Inference-Header-Content-Length": "0"},
    )
    assert response.status_code == 200
    length = int(response.headers["Inference-Header-Content-Length"])
    head = json.loads(response.content[:length])
    assert int(response.headers["content-length"]) == len(response.content)
    sizes = [output["parameters"]["binary_data_size"] for output in head["outputs"]]
    assert sum(sizes) == len(response.content) - length
    probs = np.frombuffer(response.content[length : length + sizes[0]], "<f4")
    np.testing.assert_array_equal(probs, embedded(floats)[0].ravel())


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_packed_bodies(http, encoding, pack):
    tensor = {"name": "audio", "datatype": "FP32", "shape": [160], "data": [0.0] * 160}
    response = http.post(
        "/v2/models/fake/infer",
        content=pack(json.dumps({"inputs": [tensor]}).encode()),
        headers={"content-encoding": encoding},
    )
    assert response.status_code == 200
    assert response.json()["outputs"][0]["shape"] == [1, 1, 1]


def test_bodies_have_limits_also_unpacked(run_server):
    with run_server(max_infer_bytes=4096) as server:
        url = f"{server.url}/v2/models/fake/infer"
        for content, headers in (
            (bytes(5000), {}),
            (iter([bytes(3000), bytes(3000)]), {}),
            (zlib.compress(bytes(1_000_000)), {"content-encoding": "deflate"}),
        ):
            response = httpx.post(url, content=content, headers=headers)
            assert response.status_code == 413
            assert "expected at most 4096" in response.json()["error"]
    with run_server(max_infer_total_bytes=1024) as server:
        response = httpx.post(f"{server.url}/v2/models/fake/infer", content=bytes(2000))
        assert response.status_code == 503


S = np.zeros(160, np.float32)
BAD = {
    "model": ({"model": "x"}, 404, "no model 'x', expected one of ['fake', 'sense']"),
    "version": ({"model": "fake/versions/2"}, 404, "no version '2' of model 'fake', expected '1'"),
    "input": ({"name": "sound"}, 400, "inputs are ['sound'], expected ['audio']"),
    "datatype": ({"datatype": "FP64"}, 400, "input 'audio' has datatype FP64, expected one of"),
    "batch": ({"shape": [2, 80]}, 400, "input 'audio' has shape [2, 80], expected [N] or [1, N]"),
    "sensor shape": (
        {"model": "sense", "name": "samples"},
        400,
        "input 'samples' has shape [160], expected [N, 3] or [1, N, 3]",
    ),
    "output": ({"outputs": [{"name": "x"}]}, 400, "output 'x', expected one of ['probabilities'"),
    "outputs": (
        {"outputs": [{"name": "events"}, {"name": "events"}]},
        400,
        "outputs are ['events', 'events'], expected each at most once",
    ),
    "classes": (
        {"outputs": [{"name": "probabilities", "parameters": {"classification": 1}}]},
        400,
        "output 'probabilities' asks for classification",
    ),
    "parameter": ({"parameters": {"rate": 8}}, 400, "parameter 'rate', expected one of"),
    "rate": ({"parameters": {"sample_rate": "8k"}}, 400, "sample_rate is '8k', expected a posit"),
    "true rate": ({"parameters": {"sample_rate": True}}, 400, "sample_rate is 'True', expected"),
    "low rate": ({"parameters": {"sample_rate": 8}}, 400, "sample rate is 8, expected 4000"),
    "encoding": (
        {"parameters": {"encoding": "mulaw"}},
        400,
        "encoding is 'mulaw', expected one of ['pcm_f32le', 'f32le'] for FP32",
    ),
    "flag": ({"parameters": {"sequence_start": 1}}, 400, "sequence_start is '1', expected true"),
    "start of nothing": (
        {"parameters": {"sequence_start": True}},
        400,
        "sequence_start, sequence_end, checkpoint or resume without sequence_id, expected one",
    ),
    "id": ({"parameters": {"sequence_id": 1.5}}, 400, "sequence_id is 1.5, expected a number"),
    "large id": ({"parameters": {"sequence_id": "x" * 129}}, 400, "sequence_id is 'xxx"),
    "negative id": ({"parameters": {"sequence_id": -1}}, 400, "sequence_id is '-1', expected 0"),
    "loud": ({"samples": S + 100}, 400, "samples reach 100, expected -1 to 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named(http, server, case):
    options, status, message = BAD[case]
    response = infer(http, **{"samples": S, **options})
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert response.json()["error"].startswith(message)
    server.wait_until_empty()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nothing", 404),
        ("POST", "/v2/repository/models/fake/load", 404),
        ("GET", "/v2/models/fake/infer", 404),
        ("GET", "/v2/models/x", 404),
        ("GET", "/v2/models/x/ready", 404),
        ("GET", "/v2/models/x/config", 404),
        ("POST", "/v2/models/fake/infer", 400),
    ],
)
def test_every_error_has_the_protocols_shape(http, method, path, status):
    response = http.request(method, path)
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert isinstance(response.json()["error"], str)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Inference-Header-Content-Length": "x"}, "Inference-Header-Content-Length is 'x'"),
        ({"Inference-Header-Content-Length": "0"}, "raw body has 2 bytes, expected a multiple"),
        ({"content-encoding": "br"}, "Content-Encoding is 'br', expected gzip or deflate"),
        ({"content-encoding": "gzip"}, "body cannot be unpacked"),
    ],
)
def test_wrong_headers_are_named(http, headers, message):
    response = http.post("/v2/models/fake/infer", content=b"{}", headers=headers)
    assert response.status_code == 400
    assert response.json()["error"].startswith(message)


def test_a_fault_is_the_servers_and_tells_nothing(run_server):
    def explode(frames):
        raise RuntimeError("/secret exploded")

    with run_server() as server, httpx.Client(base_url=server.url) as http:
        server.runtimes["fake"].before_run = explode
        response = infer(http, S)
        assert response.status_code == 500
        assert response.json() == {"error": "the server failed to compute this stream"}
        server.wait_until_empty()


def test_a_full_server_refuses(run_server):
    hold = threading.Event()
    with (
        run_server(max_sessions=1) as server,
        ThreadPoolExecutor(1) as pool,
        httpx.Client(base_url=server.url, timeout=10) as http,
    ):
        server.runtimes["fake"].before_run = lambda frames: hold.wait(10)
        first = pool.submit(infer, http, S)
        deadline = time.monotonic() + 5
        while not server.service.sessions:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        refused = infer(http, S)
        hold.set()
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert first.result().status_code == 200
        server.wait_until_empty()


def test_a_client_that_leaves_frees_its_slot(run_server):
    blocks = []

    def slow(frames):
        blocks.append(len(frames))
        time.sleep(0.02)

    with run_server() as server:
        server.runtimes["fake"].before_run = slow
        with (
            httpx.Client(base_url=server.url, timeout=0.3) as http,
            pytest.raises(httpx.TimeoutException),
        ):
            http.post(
                "/v2/models/fake/infer",
                content=bytes(4 * 16000 * 200),
                headers={"Inference-Header-Content-Length": "0"},
            )
        server.wait_until_empty()
        assert len(blocks) < 150, "200 s are 200 blocks"


def test_statistics_and_metrics_count_requests(run_server):
    with run_server() as server, httpx.Client(base_url=server.url) as http:
        infer(http, S)
        infer(http, S, datatype="FP64")
        (stats,) = http.get("/v2/models/fake/stats").json()["model_stats"]
        assert stats["inference_count"] == 1
        assert stats["inference_stats"]["success"]["count"] == 1
        assert stats["inference_stats"]["fail"]["count"] == 1
        assert stats["inference_stats"]["success"]["ns"] > 0
        everything = http.get("/v2/models/stats").json()["model_stats"]
        assert [s["name"] for s in everything] == ["fake", "sense"]
        name = "surnn_infer_requests_total"
        assert server.metric(name, model="fake", outcome="ok") == 1
        assert server.metric(name, model="fake", outcome="invalid_request") == 1
        assert server.metric("surnn_infer_seconds_count", model="fake") == 2
        assert server.metric("surnn_sessions_ended_total", model="fake", reason="end") == 1
