"""Jobs over HTTP: what is submitted comes back scored, in every format."""

from __future__ import annotations

import io
import json
import threading
import zipfile

import httpx
import pytest


def test_a_job_gives_what_score_gives_in_every_format(http, files, server, submit, wait, lines):
    bad = ("files", ("text.wav", b"this is no sound"))
    id = submit(http, [*files, bad], format="ndjson")
    job = wait(http, id)
    assert (job["files"], job["done"], job["failed"]) == (12, 12, 1)
    assert job["seconds"] == pytest.approx(sum(0.3 + 0.1 * (i % 3) for i in range(11)))
    assert job["created"] <= job["started"] <= job["finished"]
    assert job["error"] is None

    response = http.get(f"/v1/jobs/{id}/result")
    assert response.headers["content-type"] == "application/x-ndjson"
    scored = http.post("/v1/score?model=fake&format=ndjson", files=[*files, bad])
    assert lines(response.text) == lines(scored.text)
    names = [json.loads(line)["file"] for line in response.text.splitlines()]
    assert names == [*(f"{i}.wav" for i in range(11)), "text.wav"]
    for form, beginning in (("json", "[\n{"), ("csv", "file,start_s"), ("rttm", "SPEAKER 0 1 ")):
        text = http.get(f"/v1/jobs/{id}/result?format={form}").text
        assert text.startswith(beginning)
    (first, *_) = http.get("/v1/jobs").json()["jobs"]
    assert first == job
    assert server.metric("surnn_jobs_ended_total", model="fake", outcome="done") >= 1
    assert server.metric("surnn_jobs_waiting") == 0


def test_an_archive(http, files, submit, wait):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for _, (name, data) in files:
            archive.writestr(f"calls/{name}", data)
    id = submit(http, {"file": ("calls.zip", out.getvalue())})
    job = wait(http, id)
    assert (job["files"], job["failed"]) == (11, 0)
    scores = http.get(f"/v1/jobs/{id}/result").json()
    assert [s["file"] for s in scores] == [f"calls/{i}.wav" for i in range(11)]
    assert any(s["segments"] for s in scores)


def test_thresholds_hold(http, files, submit, wait):
    id = submit(http, files[:1], thresholds='{"speech": {"on": 1.0}}')
    wait(http, id)
    assert http.get(f"/v1/jobs/{id}/result").json()[0]["segments"] == []


def test_a_job_for_a_format_of_one_file(http, files, submit, wait):
    id = submit(http, files[:1], format="webvtt")
    wait(http, id)
    assert http.get(f"/v1/jobs/{id}/result").text.startswith("WEBVTT")


FINE = ("files", ("a.wav", b"RIFF"))


BAD = {
    "model": ({"model": "x"}, [FINE], 404, "unknown_model"),
    "format": ({"format": "xml"}, [FINE], 406, "not_acceptable"),
    "two files as labels": ({"format": "audacity"}, [FINE, FINE], 422, "invalid_config"),
    "thresholds": ({"thresholds": "{"}, [FINE], 422, "invalid_config"),
    "label": ({"thresholds": '{"x": {"on": 0.5}}'}, [FINE], 422, "invalid_config"),
    "archive": ({}, [("files", ("a.zip", b"no zip"))], 422, "invalid_archive"),
    "field": ({}, [("sound", ("a.wav", b"x"))], 422, "invalid_request"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_a_job_is_refused(http, server, case):
    options, files, status, code = BAD[case]
    before = len(http.get("/v1/jobs").json()["jobs"])
    response = http.post("/v1/jobs", params={"model": "fake", **options}, files=files)
    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    assert len(http.get("/v1/jobs").json()["jobs"]) == before


@pytest.mark.parametrize("path", ["", "/events", "/result"])
def test_unknown_jobs(http, path):
    response = http.get(f"/v1/jobs/nothing{path}")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "unknown_job"
    assert http.delete("/v1/jobs/nothing").status_code == 404


def test_progress_is_followed(run_server, files, submit, wait):
    steps = threading.Semaphore(0)
    with run_server() as server, httpx.Client(base_url=server.url, timeout=10) as http:
        server.runtimes["fake"].before_run = lambda frames: steps.acquire(timeout=10)
        id = submit(http, files)
        seen = []
        with http.stream("GET", f"/v1/jobs/{id}/events") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            for line in response.iter_lines():
                if line.startswith("data: "):
                    seen.append(json.loads(line.removeprefix("data: ")))
                    steps.release(3)
                elif line.startswith("event: "):
                    assert line.removeprefix("event: ") in ("queued", "running", "done")
        assert seen[-1] == wait(http, id)
        assert seen[-1]["state"] == "done"
        done = [job["done"] for job in seen]
        assert done == sorted(done)
        assert len(set(done)) > 2
        seconds = [job["seconds"] for job in seen]
        assert seconds == pytest.approx(sorted(seconds))
        with http.stream("GET", f"/v1/jobs/{id}/events") as response:
            assert response.read().decode().count("event: done") == 1
