"""Jobs belong to the API key that made them, and count against its limits."""

from __future__ import annotations

import contextlib
import sqlite3
import time

import httpx
import pytest

from surnn_server.apikeys import KeyLimits, Scope, add_key
from surnn_server.jobs.store import _SCHEMA, JobStore

SCORE, ADMIN = [Scope.SCORE], [Scope.ADMIN]
KEYS = {
    "ann": (SCORE, None),
    "ben": (SCORE, None),
    "boss": (ADMIN, None),
    "single": (SCORE, KeyLimits(max_jobs=1)),
    "short": (SCORE, KeyLimits(audio_seconds_per_hour=1800)),
    "stream": ([Scope.STREAM], None),
}


@pytest.fixture
def secured(run_server, tmp_path):
    """A server with keys: clients by the names of theirs."""
    path = tmp_path / "keys.json"
    secrets = {name: add_key(path, name, *rights) for name, rights in KEYS.items()}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            run_server(api_keys_file=str(path), data_dir=str(tmp_path / "data"))
        )
        yield (
            server,
            {
                name: stack.enter_context(
                    httpx.Client(
                        base_url=server.url, timeout=10, headers={"Authorization": f"Bearer {key}"}
                    )
                )
                for name, key in secrets.items()
            },
        )


def listed(http):
    return [job["id"] for job in http.get("/v1/jobs").json()["jobs"]]


def test_nobody_sees_the_jobs_of_others_but_an_admin(secured, files, submit, wait):
    _, of = secured
    id = submit(of["ann"], files[:1])
    wait(of["ann"], id)
    assert (listed(of["ann"]), listed(of["ben"]), listed(of["boss"])) == ([id], [], [id])
    for method, path in (
        ("GET", ""),
        ("GET", "/result"),
        ("GET", "/result?partial=true"),
        ("GET", "/events"),
        ("DELETE", ""),
    ):
        answer = of["ben"].request(method, f"/v1/jobs/{id}{path}")
        nothing = of["ben"].request(method, f"/v1/jobs/{'0' * 32}{path}")
        # Nothing tells the job of another from one that never was.
        assert (answer.status_code, nothing.status_code) == (404, 404)
        assert answer.text.replace(id, "?") == nothing.text.replace("0" * 32, "?")
    assert (
        of["boss"].get(f"/v1/jobs/{id}/result").text == of["ann"].get(f"/v1/jobs/{id}/result").text
    )
    assert of["boss"].delete(f"/v1/jobs/{id}").status_code == 200
    assert of["ann"].get(f"/v1/jobs/{id}").status_code == 404


def test_an_admin_without_the_scope_submits_nothing(secured, files):
    _, of = secured
    for name in ("boss", "stream"):
        answer = of[name].post("/v1/jobs?model=fake", files=files[:1])
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


def test_a_key_has_so_many_jobs(secured, files, submit, wait, hold_after):
    server, of = secured
    hold, held = hold_after(server, 0)
    first = submit(of["single"], files[:1])
    assert held.wait(5)
    refused = of["single"].post("/v1/jobs?model=fake", files=files[:1])
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exceeded")
    other = submit(of["ann"], files[:1])
    hold.set()
    wait(of["single"], first)
    wait(of["ann"], other)
    wait(of["single"], submit(of["single"], files[:1]))


def test_a_job_waits_for_its_owners_audio(secured, files, submit, wait, monkeypatch):
    monkeypatch.setattr("surnn_server.jobs.runner._LONGEST_WAIT_S", 0.02)
    server, of = secured
    quota = server.service.authenticator.quota_of("short")
    # Ten files of 0.3 s: the first eight are begun while anything is left.
    quota.spend(1799.9)
    id = submit(of["short"], files[:1] * 10)
    deadline = time.monotonic() + 5
    while of["short"].get(f"/v1/jobs/{id}").json()["done"] < 8:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    refused = of["short"].post("/v1/jobs?model=fake", files=files[:1])
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exceeded")
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    # 1799.9 + 2.4 - 1800 seconds have to come back, at 0.5 a second: it waits, others do not.
    wait(of["ann"], submit(of["ann"], files[:1]))
    assert of["short"].get(f"/v1/jobs/{id}").json()["done"] == 8
    quota.spend(-10.0)
    assert wait(of["short"], id)["done"] == 10


def test_a_job_that_waits_for_audio_can_be_cancelled(secured, files, submit):
    server, of = secured
    server.service.authenticator.quota_of("short").spend(1799.9)
    id = submit(of["short"], files[:1] * 10)
    deadline = time.monotonic() + 5
    while not server.jobs._runner._later:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert of["short"].delete(f"/v1/jobs/{id}").json()["state"] == "cancelled"


def test_recordings_in_jobs_may_last_only_so_long(run_server, files, wav, submit, wait):
    with (
        run_server(max_file_seconds=1) as server,
        httpx.Client(base_url=server.url, timeout=10) as http,
    ):
        id = submit(http, [files[0], ("files", ("long.wav", wav(bytes(2 * 16000 * 2))))])
        assert wait(http, id)["failed"] == 1
        errors = [score.get("error") for score in http.get(f"/v1/jobs/{id}/result").json()]
        assert [error and error["code"] for error in errors] == [None, "audio_too_long"]


def test_jobs_of_an_older_version_belong_to_nobody(tmp_path):
    path = tmp_path / "jobs.sqlite3"
    old = sqlite3.connect(path)
    schema = _SCHEMA.replace(",\n    owner TEXT NOT NULL DEFAULT ''", "")
    assert "owner" not in schema
    old.executescript(schema)
    old.execute(
        "INSERT INTO jobs (id, model, version, format, thresholds, state, created, files, bytes) "
        "VALUES ('a', 'fake', '1', 'csv', '{}', 'queued', 1.0, 1, 10)"
    )
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()
    store = JobStore(path)
    try:
        job = store.get("a")
        assert job is not None
        assert job.owner == ""
        assert store.unfinished() == {"a": ""}
        assert store.newest(10, "ann") == []
    finally:
        store.close()
    # Once is enough.
    JobStore(path).close()
