"""Jobs over HTTP: submitted, followed, fetched, cancelled, and there after a restart."""

from __future__ import annotations

import errno
import io
import json
import shutil
import threading
import time
import zipfile

import httpx
import numpy as np
import pytest
import soundfile

from surnn_server.jobs import space
from surnn_server.jobs.store import JobStore


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=10) as client:
        yield client


def wav(pcm: bytes) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.frombuffer(pcm, "<i2"), 16000, format="WAV", subtype="PCM_16")
    return out.getvalue()


@pytest.fixture
def files(make_pcm):
    return [("files", (f"{i}.wav", wav(make_pcm(i, 0.3 + 0.1 * (i % 3))))) for i in range(11)]


def submit(http, files, **params):
    response = http.post("/v1/jobs", params={"model": "fake", **params}, files=files)
    assert response.status_code == 202, response.text
    job = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    return job["id"]


def wait(http, id, *states):
    deadline = time.monotonic() + 10
    while (job := http.get(f"/v1/jobs/{id}").json())["state"] not in (states or ("done",)):
        assert time.monotonic() < deadline, job
        time.sleep(0.01)
    return job


def lines(text):
    records = [json.loads(line) for line in text.splitlines()]
    for record in records:
        del record["cost"]
    return sorted(records, key=lambda r: r["file"])


def test_a_job_gives_what_score_gives_in_every_format(http, files, server):
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


def test_an_archive(http, files):
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


def test_thresholds_hold(http, files):
    id = submit(http, files[:1], thresholds='{"speech": {"on": 1.0}}')
    wait(http, id)
    assert http.get(f"/v1/jobs/{id}/result").json()[0]["segments"] == []


def test_a_job_for_a_format_of_one_file(http, files):
    id = submit(http, files[:1], format="webvtt")
    wait(http, id)
    assert http.get(f"/v1/jobs/{id}/result").text.startswith("WEBVTT")


FINE = ("files", ("a.wav", wav(bytes(3200))))
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


def test_progress_is_followed(run_server, files):
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


def hold_after(server, calls):
    """The runtime stops at its next call but so many; returns what lets it go on."""
    hold, held = threading.Event(), threading.Event()
    left = [calls]

    def run(frames):
        left[0] -= 1
        if left[0] < 0:
            held.set()
            hold.wait(10)

    server.runtimes["fake"].before_run = run
    return hold, held


def test_a_job_is_cancelled_and_what_it_has_is_kept(run_server, files):
    with run_server() as server, httpx.Client(base_url=server.url, timeout=10) as http:
        hold, held = hold_after(server, 1)
        id = submit(http, files)
        assert held.wait(5)
        refused = http.get(f"/v1/jobs/{id}/result")
        assert refused.status_code == 409
        assert refused.json()["error"]["code"] == "not_finished"
        other = submit(http, files[:1])
        threading.Timer(0.1, hold.set).start()
        cancelled = http.delete(f"/v1/jobs/{id}").json()
        assert cancelled["state"] == "cancelled"
        assert cancelled["done"] < 11
        assert wait(http, other)["done"] == 1
        assert http.get(f"/v1/jobs/{id}").json() == cancelled
        partial = http.get(f"/v1/jobs/{id}/result?partial=true&format=ndjson")
        assert partial.status_code == 200
        assert len(partial.text.splitlines()) == cancelled["done"]
        # Once it is over, it is forgotten.
        assert http.delete(f"/v1/jobs/{id}").status_code == 200
        assert http.get(f"/v1/jobs/{id}").status_code == 404
        name = "surnn_jobs_ended_total"
        assert server.metric(name, model="fake", outcome="cancelled") == 1
        assert server.metric(name, model="fake", outcome="done") == 1


def test_a_job_that_waits_is_cancelled_at_once(run_server, files):
    with run_server() as server, httpx.Client(base_url=server.url, timeout=10) as http:
        hold, held = hold_after(server, 0)
        first = submit(http, files)
        assert held.wait(5)
        second = submit(http, files)
        assert http.delete(f"/v1/jobs/{second}").json()["state"] == "cancelled"
        hold.set()
        assert wait(http, first)["done"] == 11
        assert http.get(f"/v1/jobs/{second}").json()["done"] == 0


def test_jobs_take_turns_with_each_other_and_with_requests(run_server, files):
    with run_server() as server, httpx.Client(base_url=server.url, timeout=10) as http:
        hold, held = hold_after(server, 0)
        large = submit(http, [("files", (f"{i}.wav", files[0][1][1])) for i in range(40)])
        assert held.wait(5)
        small = submit(http, files[:1])
        scored = []
        request = threading.Thread(
            target=lambda: scored.append(
                httpx.post(f"{server.url}/v1/score?model=fake", files=files[:1], timeout=10)
            )
        )
        request.start()
        while server.service.jobs.admitted < 1:
            time.sleep(0.005)
        hold.set()
        assert wait(http, small)["finished"] <= wait(http, large)["finished"]
        request.join(10)
        assert scored[0].status_code == 200


def test_too_many_jobs_are_refused(run_server, files):
    with (
        run_server(job_queue=2) as server,
        httpx.Client(base_url=server.url, timeout=10) as http,
    ):
        hold, held = hold_after(server, 0)
        ids = [submit(http, files[:1]) for _ in range(2)]
        assert held.wait(5)
        refused = http.post("/v1/jobs?model=fake", files=files[:1])
        hold.set()
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert refused.json()["error"]["code"] == "at_capacity"
        for id in ids:
            wait(http, id)
        wait(http, submit(http, files[:1]))


def test_jobs_have_a_place_of_limited_size(run_server, files):
    with (
        run_server(max_jobs_bytes=2000) as server,
        httpx.Client(base_url=server.url, timeout=10) as http,
    ):
        refused = http.post("/v1/jobs?model=fake", files=files[:1])
        assert refused.status_code == 503
        assert "expected at most 2000" in refused.json()["error"]["message"]
    with (
        run_server(max_job_files=3) as server,
        httpx.Client(base_url=server.url, timeout=10) as http,
    ):
        assert http.post("/v1/jobs?model=fake", files=files[:4]).status_code == 413


def test_old_jobs_are_forgotten(run_server, files):
    with (
        run_server(keep_jobs=2) as server,
        httpx.Client(base_url=server.url, timeout=10) as http,
    ):
        ids = []
        for _ in range(4):
            ids.append(submit(http, files[:1]))
            wait(http, ids[-1])
        kept = {job["id"] for job in http.get("/v1/jobs").json()["jobs"]}
        assert kept == set(ids[2:])


def restartable(tmp_path):
    return {"data_dir": str(tmp_path / "data")}


def test_jobs_survive_a_restart(run_server, files, tmp_path):
    options = restartable(tmp_path)
    with run_server(**options) as server, httpx.Client(base_url=server.url, timeout=10) as http:
        finished = submit(http, files[:2], format="csv")
        wait(http, finished)
        result = http.get(f"/v1/jobs/{finished}/result").text
        hold, held = hold_after(server, 1)
        running = submit(http, files)
        waiting = submit(http, files[:3])
        assert held.wait(5)
        threading.Timer(0.2, hold.set).start()
    with run_server(**options) as server, httpx.Client(base_url=server.url, timeout=10) as http:
        assert http.get(f"/v1/jobs/{finished}/result").text == result
        assert wait(http, running)["done"] == 11
        assert wait(http, waiting)["done"] == 3
        again = submit(http, files, format="ndjson")
        wait(http, again)
        texts = [http.get(f"/v1/jobs/{id}/result?format=ndjson").text for id in (running, again)]
        assert lines(texts[0]) == lines(texts[1])
    assert not list((tmp_path / "data" / "uploads").iterdir())


def test_a_killed_server_computes_nothing_twice(run_server, files, tmp_path):
    options = restartable(tmp_path)
    with run_server(**options) as server, httpx.Client(base_url=server.url, timeout=10) as http:
        hold, held = hold_after(server, 1)
        id = submit(http, files)
        assert held.wait(5)
        # Eight files have been scored; what a kill would leave behind is what lies there now.
        deadline = time.monotonic() + 5
        while http.get(f"/v1/jobs/{id}").json()["done"] < 8:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        shutil.copytree(tmp_path / "data", tmp_path / "killed")
        (tmp_path / "killed" / "uploads" / "half-sent").mkdir()
        hold.set()
        wait(http, id)
        expected = http.get(f"/v1/jobs/{id}/result?format=ndjson").text
    with (
        run_server(data_dir=str(tmp_path / "killed")) as server,
        httpx.Client(base_url=server.url, timeout=10) as http,
    ):
        job = wait(http, id)
        assert job["done"] == 11
        # Some calls warm the runtime up; those of three files follow.
        assert sum(server.runtimes["fake"].batches[6:]) == 3
        assert lines(http.get(f"/v1/jobs/{id}/result?format=ndjson").text) == lines(expected)
        assert server.metric("surnn_files_scored_total", model="fake", outcome="ok") == 3
        assert not (tmp_path / "killed" / "uploads" / "half-sent").exists()


def test_a_job_of_a_model_that_is_gone_fails(run_server, files, tmp_path):
    options = restartable(tmp_path)
    with run_server(**options) as server, httpx.Client(base_url=server.url, timeout=10) as http:
        hold, held = hold_after(server, 0)
        id = submit(http, files)
        assert held.wait(5)
        threading.Timer(0.2, hold.set).start()
    store = JobStore(tmp_path / "data" / "jobs.sqlite3")
    store._write("UPDATE jobs SET version = '0'")
    store.close()
    with run_server(**options) as server, httpx.Client(base_url=server.url, timeout=10) as http:
        job = wait(http, id, "failed")
        assert job["error"] == {
            "code": "unknown_model",
            "message": "model 'fake' has version '1' by now, expected '0' as when the job began",
        }


def test_a_fault_fails_one_job_and_tells_nothing(run_server, files):
    def explode(frames):
        raise RuntimeError("/secret exploded")

    with run_server() as server, httpx.Client(base_url=server.url, timeout=10) as http:
        server.runtimes["fake"].before_run = explode
        job = wait(http, submit(http, files), "failed")
        assert job["error"] == {
            "code": "internal",
            "message": "the server failed to score the files",
        }
        server.runtimes["fake"].before_run = lambda frames: None
        wait(http, submit(http, files[:1]))


def test_a_full_disk_while_results_are_kept_fails_the_job(run_server, files):
    with run_server() as server, httpx.Client(base_url=server.url, timeout=10) as http:
        wait(http, submit(http, files[:1]))
        store = http_store(server)
        (pages,) = in_thread(server, lambda: store._db.execute("PRAGMA page_count").fetchone())
        hold, held = hold_after(server, 0)
        id = submit(http, files * 20)
        assert held.wait(5)
        in_thread(
            server, lambda: store._db.execute(f"PRAGMA max_page_count = {pages + 8}").fetchone()
        )
        hold.set()
        job = wait(http, id, "failed")
        assert job["error"]["code"] == "storage_full"
        assert 0 < job["done"] < 220
        assert http.get("/healthz").status_code == 200
        in_thread(server, lambda: store._db.execute("PRAGMA max_page_count = 100000").fetchone())
        wait(http, submit(http, files[:1]))


def test_a_full_disk_at_upload_is_told(run_server, files, monkeypatch):
    def full(source, path):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with run_server() as server, httpx.Client(base_url=server.url, timeout=10) as http:
        with monkeypatch.context() as patched:
            patched.setattr(space, "_copy", full)
            response = http.post("/v1/jobs?model=fake", files=files[:1])
        assert response.status_code == 507
        assert response.json()["error"]["code"] == "storage_full"
        wait(http, submit(http, files[:1]))


def test_the_temporary_folder_ends_with_the_server(run_server, files, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with run_server() as server, httpx.Client(base_url=server.url, timeout=10) as http:
        assert not list(tmp_path.glob("surnn-jobs-*"))
        wait(http, submit(http, files[:1]))
        (folder,) = tmp_path.glob("surnn-jobs-*")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not list(tmp_path.glob("surnn-jobs-*"))


def http_store(server):
    return server.jobs.desk._store


def in_thread(server, function):
    return server.jobs.desk._thread.submit(function).result(5)
