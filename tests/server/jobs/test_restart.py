"""Jobs that outlive their server."""

from __future__ import annotations

import shutil
import threading
import time

import httpx

from surnn_server.jobs.store import JobStore


def restartable(tmp_path):
    return {"data_dir": str(tmp_path / "data")}


def test_jobs_survive_a_restart(run_server, files, tmp_path, submit, wait, lines, hold_after):
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


def test_a_killed_server_computes_nothing_twice(
    run_server, files, tmp_path, submit, wait, lines, hold_after
):
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


def test_a_job_of_a_model_that_is_gone_fails(run_server, files, tmp_path, submit, wait, hold_after):
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


def test_the_temporary_folder_ends_with_the_server(
    run_server, files, tmp_path, monkeypatch, submit, wait
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with run_server() as server, httpx.Client(base_url=server.url, timeout=10) as http:
        assert not list(tmp_path.glob("surnn-jobs-*"))
        wait(http, submit(http, files[:1]))
        (folder,) = tmp_path.glob("surnn-jobs-*")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not list(tmp_path.glob("surnn-jobs-*"))
