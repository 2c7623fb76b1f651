"""What is kept of jobs: through restarts, within bounds, on a full disk."""

from __future__ import annotations

import asyncio
import io
import sqlite3
from dataclasses import replace

import pytest

from surnn.errors import InvalidConfig
from surnn.formats import Format
from surnn.scan import FileError, FileScore, Segment
from surnn.types import Sparsity
from surnn_server import Settings
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.jobs import records
from surnn_server.jobs.desk import Desk
from surnn_server.jobs.store import JobStore
from surnn_server.jobs.types import JobOptions, JobState

OPTIONS = JobOptions("fake", "1", Format.CSV, {"speech": {"on": 0.6}}, 8000)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.sqlite3"


@pytest.fixture
def store(path):
    store = JobStore(path)
    yield store
    store.close()


def end(store, id, now, state=JobState.DONE):
    job = store.get(id)
    store.finish(replace(job, state=state, finished=now))


def test_scores_are_kept_exactly():
    score = FileScore(
        file="a.wav",
        model="fake",
        labels=("speech",),
        seconds=1 / 3,
        segments=(Segment("speech", 0.1 + 0.2, 2 / 3, 0.98765432109),),
        sparsity=Sparsity((0.1, 1 / 7), 3, 17, 12, 68),
        compute_ms=12.3,
    )
    assert records.decode(records.encode(score)) == score
    failed = FileScore("b", "m", (), 0.0, (), Sparsity((), 0, 0), 0.0, None, FileError("c", "why"))
    assert records.decode(records.encode(failed)) == failed


def test_a_job_is_what_was_put_in(store):
    store.add("one", OPTIONS, ["a.wav", "b.wav", "c.wav"], 100, 5.0)
    job = store.get("one")
    assert job.options == OPTIONS
    assert (job.state, job.created, job.files, job.done) == (JobState.QUEUED, 5.0, 3, 0)
    assert [(f.number, f.name) for f in store.pending("one", 2)] == [(0, "a.wav"), (1, "b.wav")]
    store.started("one", 6.0)
    store.scored("one", 1, b"result", 2.5, True)
    job = store.get("one")
    assert (job.state, job.done, job.failed, job.seconds) == (JobState.RUNNING, 1, 1, 2.5)
    assert [f.number for f in store.pending("one", 9)] == [0, 2]
    assert list(store.results("one")) == [b"result"]
    end(store, "one", 9.0)
    assert store.bytes_total() == 6
    assert store.unfinished() == {}
    store.delete("one")
    assert store.get("one") is None
    assert list(store.results("one")) == []


def test_results_come_in_the_order_of_the_files(store):
    store.add("one", OPTIONS, [str(i) for i in range(200)], 1, 0.0)
    for i in reversed(range(200)):
        store.scored("one", i, str(i).encode(), 0.0, False)
    assert list(store.results("one")) == [str(i).encode() for i in range(200)]


def test_jobs_go_on_after_a_restart_unless_they_keep_ending_the_server(path):
    for attempt in range(3):
        store = JobStore(path)
        if attempt == 0:
            store.add("bad", OPTIONS, ["a", "b"], 1, 0.0)
            store.add("good", OPTIONS, ["a", "b", "c", "d"], 1, 1.0)
        store.recover(50.0)
        assert list(store.unfinished()) == ["bad", "good"]
        store.started("bad", 2.0)
        store.started("good", 2.0)
        store.scored("good", attempt, b"r", 1.0, False)
        store.close()
    store = JobStore(path)
    store.recover(50.0)
    assert list(store.unfinished()) == ["good"]
    job = store.get("bad")
    assert job.state is JobState.FAILED
    assert job.error[1].startswith("the server ended 3 times at the same files")
    assert store.get("good").done == 3
    store.started("good", 3.0)
    store.paused()
    assert store.get("good").state is JobState.QUEUED
    store.close()


def test_a_file_belongs_to_one_server(path, store):
    with pytest.raises(InvalidConfig, match=r"jobs\.sqlite3 is used by another server, expected"):
        JobStore(path)


def test_other_files_are_refused(path):
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(InvalidConfig, match=r"jobs\.sqlite3 fails \(file is not a database\)"):
        JobStore(path)
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 7")
    db.close()
    with pytest.raises(InvalidConfig, match="has version 7, expected 2"):
        JobStore(path)


def test_what_expires(store):
    for i in range(6):
        store.add(str(i), OPTIONS, ["a"], 100, float(i))
        if i < 5:
            store.scored(str(i), 0, bytes(10), 1.0, False)
            end(store, str(i), 100.0 + i)
    assert store.expired(keep=9, oldest=0.0, max_bytes=10_000) == []
    assert store.expired(keep=3, oldest=0.0, max_bytes=10_000) == ["1", "0"]
    assert store.expired(keep=9, oldest=102.5, max_bytes=10_000) == ["2", "1", "0"]
    # The unfinished one has its 100 bytes; the others have 10 each.
    assert store.expired(keep=9, oldest=0.0, max_bytes=125) == ["2", "1", "0"]
    assert store.expired(keep=0, oldest=0.0, max_bytes=10_000) == ["4", "3", "2", "1", "0"]


def fill(store):
    """From here on, the disk is full."""
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_changes_nothing(store):
    store.add("one", OPTIONS, ["a", "b"], 1, 0.0)
    fill(store)
    with pytest.raises(Refusal) as refused:
        store.scored("one", 0, bytes(1 << 20), 1.0, False)
    assert refused.value.code is ErrorCode.STORAGE_FULL
    assert refused.value.code.status == 507
    assert store.get("one").done == 0
    assert len(store.pending("one", 9)) == 2


def test_a_job_ends_even_if_its_end_cannot_be_kept(tmp_path, monkeypatch):
    async def go():
        ended = []
        desk = Desk(Settings(data_dir=str(tmp_path)), ended.append)
        await desk.open()
        job = await desk.submit(OPTIONS, [("a.wav", io.BytesIO(b"x"))])

        def full(job):
            raise Refusal(ErrorCode.STORAGE_FULL, "the disk is full")

        monkeypatch.setattr(desk._store, "finish", full)
        await desk.finish(job.id, JobState.FAILED, ("storage_full", "the disk is full"))
        await desk.finish(job.id, JobState.DONE)
        assert [j.state for j in ended] == [JobState.FAILED]
        assert (await desk.get(job.id)).error == ("storage_full", "the disk is full")
        assert [j.state for j in await desk.newest(9)] == [JobState.FAILED]
        assert not list((tmp_path / "uploads").iterdir())
        await desk.close()

    asyncio.run(go())
