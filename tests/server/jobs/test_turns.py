"""Jobs beside each other: taken in turns, cancelled, refused, forgotten."""

from __future__ import annotations

import threading
import time

import httpx


def test_a_job_is_cancelled_and_what_it_has_is_kept(run_server, files, submit, wait, hold_after):
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


def test_a_job_that_waits_is_cancelled_at_once(run_server, files, submit, wait, hold_after):
    with run_server() as server, httpx.Client(base_url=server.url, timeout=10) as http:
        hold, held = hold_after(server, 0)
        first = submit(http, files)
        assert held.wait(5)
        second = submit(http, files)
        assert http.delete(f"/v1/jobs/{second}").json()["state"] == "cancelled"
        hold.set()
        assert wait(http, first)["done"] == 11
        assert http.get(f"/v1/jobs/{second}").json()["done"] == 0


def test_jobs_take_turns_with_each_other_and_with_requests(
    run_server, files, submit, wait, hold_after
):
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


def test_too_many_jobs_are_refused(run_server, files, submit, wait, hold_after):
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


def test_old_jobs_are_forgotten(run_server, files, submit, wait):
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
