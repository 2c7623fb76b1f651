"""Jobs on a server that fails, or whose disk is full."""

from __future__ import annotations

import errno

import httpx

from surnn_server.jobs import space


def test_a_fault_fails_one_job_and_tells_nothing(run_server, files, submit, wait):
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


def http_store(server):
    return server.jobs.desk._store


def in_thread(server, function):
    return server.jobs.desk._thread.submit(function).result(5)


def test_a_full_disk_while_results_are_kept_fails_the_job(
    run_server, files, submit, wait, hold_after
):
    with run_server() as server, httpx.Client(base_url=server.url, timeout=10) as http:
        wait(http, submit(http, files[:1]))
        store = http_store(server)
        (pages,) = in_thread(server, lambda: store._db.execute("PRAGMA page_count").fetchone())
        hold, held = hold_after(server, 0)
        id = submit(http, files * 20)
        assert held.wait(5)
        in_thread(
            server, lambda: store._db.execute(f"PRAGMA max_page_count = {pages + 12}").fetchone()
        )
        hold.set()
        job = wait(http, id, "failed")
        assert job["error"]["code"] == "storage_full"
        assert 0 < job["done"] < 220
        assert http.get("/healthz").status_code == 200
        in_thread(server, lambda: store._db.execute("PRAGMA max_page_count = 100000").fetchone())
        wait(http, submit(http, files[:1]))


def test_a_full_disk_at_upload_is_told(run_server, files, monkeypatch, submit, wait):
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
