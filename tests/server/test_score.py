"""Files over REST."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import soundfile


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=10) as client:
        yield client


def wav(pcm: bytes, rate: int = 16000) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.frombuffer(pcm, "<i2"), rate, format="WAV", subtype="PCM_16")
    return out.getvalue()


@pytest.fixture
def files(make_pcm):
    return [("files", (f"{i}.wav", wav(make_pcm(i, 0.5 + 0.1 * i)))) for i in range(5)]


def test_one_file_as_json(http, files, server):
    response = http.post("/v1/score?model=fake", files=files[:1])
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    (score,) = response.json()
    assert score["file"] == "0.wav"
    assert score["seconds"] == 0.5
    assert score["segments"]
    sparsity = score["sparsity"]
    assert sparsity["updates"] + sparsity["skipped"] == sparsity["possible"] == 200
    assert server.metric("surnn_files_scored_total", model="fake", outcome="ok") >= 1


def test_a_file_gives_what_its_stream_gives(http, make_pcm, server, stream_all):
    pcm = make_pcm(7, 2.0)
    (score,) = http.post("/v1/score?model=fake", files={"files": ("a.wav", wav(pcm))}).json()
    heard = asyncio.run(stream_all(server, pcm))
    starts = [e["time"] for e in heard.of("event") if e["kind"] == "start"]
    assert [s["start"] for s in score["segments"]] == pytest.approx(starts)


def test_many_files_are_the_same_as_one_by_one(http, files):
    together = http.post("/v1/score?model=fake&format=ndjson", files=files)
    assert together.headers["content-type"] == "application/x-ndjson"
    scores = {s["file"]: s for s in map(json.loads, together.text.splitlines())}
    assert len(scores) == 5
    for file in files:
        (alone,) = http.post("/v1/score?model=fake", files=[file]).json()
        del alone["cost"], scores[file[1][0]]["cost"]
        assert scores[file[1][0]] == alone


@pytest.mark.parametrize(
    ("accept", "media_type", "beginning"),
    [
        ("*/*", "application/json", "["),
        ("text/csv", "text/csv", "file,start_s,end_s,label"),
        ("text/html;q=0.9, text/vtt", "text/vtt", "WEBVTT"),
        ("application/x-ndjson", "application/x-ndjson", '{"file"'),
        ("text/x-rttm", "text/x-rttm", "SPEAKER 4 1 "),
        ("text/x-audacity-labels", "text/x-audacity-labels", "0."),
    ],
)
def test_the_accept_header_chooses(http, files, accept, media_type, beginning):
    response = http.post("/v1/score?model=fake", files=files[4:], headers={"accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"].split(";")[0] == media_type
    assert response.text.startswith(beginning)


def test_many_files_as_one_json_array(http, files):
    response = http.post("/v1/score?model=fake&format=json", files=files)
    assert {s["file"] for s in response.json()} == {f"{i}.wav" for i in range(5)}


def test_thresholds_hold(http, files):
    response = http.post(
        "/v1/score",
        params={"model": "fake", "thresholds": '{"speech": {"on": 1.0}}'},
        files=files[:1],
    )
    assert response.json()[0]["segments"] == []


def test_a_bad_file_among_good_ones_is_told_in_its_place(http, files):
    bad = ("files", ("text.wav", b"this is no sound"))
    response = http.post("/v1/score?model=fake&format=ndjson", files=[*files, bad])
    assert response.status_code == 200
    scores = {s["file"]: s for s in map(json.loads, response.text.splitlines())}
    assert len(scores) == 6
    assert scores.pop("text.wav")["error"]["code"] == "invalid_audio"
    assert not any("error" in score for score in scores.values())


FINE = ("files", ("a.wav", wav(bytes(3200))))
BAD = {
    "no sound": ({}, [("files", ("a.wav", b"hello there"))], 422, "invalid_audio", "a.wav cannot"),
    "empty": ({}, [("files", ("a.wav", b""))], 422, "invalid_audio", "a.wav is empty (0 bytes)"),
    "a folder in the name": (
        {},
        [("files", ("C:\\secret\\a.wav", b"hello"))],
        422,
        "invalid_audio",
        "a.wav cannot",
    ),
    "cut off": ({}, [("files", ("a.wav", wav(bytes(3200))[:2000]))], 422, "invalid_audio", "a.wav"),
    "no samples": ({}, [("files", ("a.wav", wav(b"")))], 422, "invalid_audio", "a.wav holds no"),
    "unknown model": ({"model": "x"}, [FINE], 404, "unknown_model", "no model 'x', expected"),
    "unknown format": ({"format": "xml"}, [FINE], 406, "not_acceptable", "format is 'xml', exp"),
    "other field": ({}, [("sound", ("a.wav", b"x"))], 422, "invalid_request", "form has the fie"),
    "a text field": ({}, [("files", (None, "x"))], 422, "invalid_request", "'files' is text"),
    "thresholds": (
        {"thresholds": "{"},
        [FINE],
        422,
        "invalid_config",
        "thresholds is '{', expected JSON",
    ),
    "threshold of no label": (
        {"thresholds": '{"music": {"on": 0.5}}'},
        [FINE],
        422,
        "invalid_config",
        "threshold for 'music', expected one of ['speech']",
    ),
    "rate": (
        {"sample_rate": "fast"},
        [FINE],
        422,
        "invalid_request",
        "sample_rate is 'fast', expected a valid integer",
    ),
    "two files as labels": (
        {"format": "audacity"},
        [FINE, FINE],
        422,
        "invalid_config",
        "2 files, expected one: audacity has no place",
    ),
    "html": ({"accept": "text/html"}, [FINE], 406, "not_acceptable", "Accept is 'text/html', exp"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_scored_is_refused(http, case):
    options, files, status, code, message = BAD[case]
    params = {"model": "fake", **options}
    headers = {"accept": params.pop("accept", "*/*")}
    response = http.post("/v1/score", params=params, files=files, headers=headers)
    assert response.status_code == status
    error = response.json()["error"]
    assert error["code"] == code
    assert error["message"].startswith(message)
    assert "/" not in error["message"].replace("text/html", "").split("expected")[0]
    assert "secret" not in error["message"]


def test_a_body_that_is_no_form_is_refused(http):
    response = http.post("/v1/score?model=fake", content=b"RIFF")
    assert response.status_code == 422
    assert response.json()["error"]["message"].startswith("content type is '', expected 'multi")


def test_a_broken_form_is_refused(http):
    response = http.post(
        "/v1/score?model=fake",
        content=b"--x\r\nnonsense",
        headers={"content-type": "multipart/form-data; boundary=y"},
    )
    assert 400 <= response.status_code < 500
    assert set(response.json()["error"]) == {"code", "message"}


def test_uploads_have_a_limit(run_server, files):
    big = ("files", ("big.wav", wav(bytes(200_000))))
    with run_server(max_upload_bytes=100_000, max_upload_files=3) as server:
        url = f"{server.url}/v1/score?model=fake"
        response = httpx.post(url, files=[big])
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "upload_too_big"

        # Without a length in the header, what arrives is counted.
        head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
        response = httpx.post(
            url,
            content=iter([head, *[bytes(50_000)] * 4, b"\r\n--x--\r\n"]),
            headers={"content-type": "multipart/form-data; boundary=x"},
        )
        assert response.status_code == 413
        response = httpx.post(url, files=[FINE] * 4)
        assert response.status_code == 422
        assert response.json()["error"]["code"] == "invalid_request"


def test_too_many_requests_are_refused_and_the_others_finish(run_server, files):
    hold = threading.Event()
    with (
        run_server(score_jobs=1, score_queue=1) as server,
        ThreadPoolExecutor(2) as pool,
    ):
        server.runtimes["fake"].before_run = lambda frames: hold.wait(10)
        url = f"{server.url}/v1/score?model=fake"
        waiting = [pool.submit(httpx.post, url, files=files[:1]) for _ in range(2)]
        deadline = time.monotonic() + 5
        while server.service.jobs.admitted < 2:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        refused = httpx.post(url, files=files[:1])
        hold.set()
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "at_capacity"
        assert refused.headers["retry-after"] == "5"
        assert [job.result().status_code for job in waiting] == [200, 200]
        assert server.service.jobs.admitted == 0


def test_a_client_that_leaves_stops_its_job(run_server, make_pcm):
    blocks = []

    def slow(frames):
        blocks.append(len(frames))
        time.sleep(0.02)

    with run_server() as server:
        server.runtimes["fake"].before_run = slow
        long = [("files", ("long.wav", wav(bytes(16000 * 2 * 600))))]
        blocks.clear()
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.url}/v1/score?model=fake", files=long, timeout=0.3)
        deadline = time.monotonic() + 5
        while server.service.jobs.admitted:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        seen = -1
        while len(blocks) > seen:
            seen = len(blocks)
            time.sleep(0.2)
        assert seen < 60, "600 s are 60 blocks"


def test_a_fault_of_the_runtime_is_the_servers(run_server, files):
    def explode(frames):
        raise RuntimeError("/secret exploded")

    with run_server() as server:
        server.runtimes["fake"].before_run = explode
        response = httpx.post(f"{server.url}/v1/score?model=fake", files=files[:1])
        assert response.status_code == 500
        assert response.json() == {
            "error": {"code": "internal", "message": "the server failed to handle the request"}
        }
