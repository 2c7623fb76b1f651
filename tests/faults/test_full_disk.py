"""A disk for jobs that is really full: a small one of the server's own, under live streams."""

from __future__ import annotations

import asyncio
import contextlib
import io
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]
SIZE_MB = 4
MOUNT = f'mount -t tmpfs -o size={SIZE_MB}m none "$0" && exec "$@"'


def _can_mount() -> bool:
    command = [*UNSHARE, "sh", "-c", MOUNT, "/mnt", "true"]
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True).returncode == 0
    return False


pytestmark = [
    pytest.mark.skipif(
        sys.platform != "linux" or not _can_mount(), reason="no file system may be mounted here"
    ),
    pytest.mark.parametrize("faults", ["native"], indirect=True),
]


def _wav(seconds):
    out = io.BytesIO()
    samples = np.random.default_rng(1).uniform(-1, 1, round(16_000 * seconds))
    soundfile.write(out, samples, 16_000, format="WAV", subtype="PCM_16")
    return out.getvalue()


class Jobs:
    """A client of a server's jobs, and the filling of its disk."""

    def __init__(self, server, folder):
        self._http = httpx.Client(base_url=server.url.replace("ws", "http", 1), timeout=60)
        # The disk as the server sees it.
        self._filler = Path(f"/proc/{server.pid}/root{folder}") / "filler"

    def post(self, *recordings):
        files = [("files", (f"{i}.wav", data)) for i, data in enumerate(recordings)]
        return self._http.post("/v1/jobs?model=mortal", files=files)

    def status(self, answer):
        return self._http.get(f"/v1/jobs/{answer.json()['id']}").json()

    def ends(self, answer):
        assert answer.status_code == 202, answer.text
        deadline = time.monotonic() + 300
        while (job := self.status(answer))["state"] not in ("done", "failed"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return job

    def close(self):
        self._http.close()

    def fill(self):
        """Leave not one byte."""
        with self._filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def free(self):
        self._filler.unlink()


def test_jobs_are_refused_and_streams_go_on(faults, tmp_path):
    server = faults.servers.start(
        prefix=[*UNSHARE, "sh", "-c", MOUNT, str(tmp_path)], data_dir=str(tmp_path / "jobs")
    )
    told = [faults.told() for _ in faults.sounds]

    def break_it():
        with contextlib.closing(Jobs(server, tmp_path)) as jobs:
            fill_and_free(jobs)

    def fill_and_free(jobs):
        assert jobs.ends(jobs.post(_wav(1.0)))["state"] == "done"
        # Larger than the disk: nothing of it is kept.
        refused = jobs.post(_wav(SIZE_MB * 40.0))
        assert (refused.status_code, refused.json()["error"]["code"]) == (507, "storage_full")
        assert jobs.ends(jobs.post(_wav(1.0)))["state"] == "done"
        # Full from one moment to the next, while a job runs.
        running = jobs.post(*[_wav(0.5)] * 150)
        jobs.fill()
        job = jobs.ends(running)
        assert (job["state"], job["error"]["code"]) == ("failed", "storage_full")
        # Its uploads are gone, which has made room.
        jobs.fill()
        refused = jobs.post(_wav(1.0))
        assert (refused.status_code, refused.json()["error"]["code"]) == (507, "storage_full")
        jobs.free()
        assert jobs.ends(jobs.post(_wav(1.0)))["state"] == "done"

    async def go():
        may_end = asyncio.Event()
        streams = [
            asyncio.create_task(faults.live(sound, server.url, t, may_end))
            for sound, t in zip(faults.sounds, told, strict=True)
        ]
        await asyncio.to_thread(break_it)
        may_end.set()
        await asyncio.gather(*streams)

    asyncio.run(go())
    faults.check(told)
    assert not any(t.reconnects for t in told)
