"""Jobs as a client sees them, and a runtime that can be held at a call."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

Files = list[tuple[str, tuple[str, bytes]]]


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=10) as client:
        yield client


def _wav(pcm: bytes) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.frombuffer(pcm, "<i2"), 16000, format="WAV", subtype="PCM_16")
    return out.getvalue()


@pytest.fixture(scope="session")
def wav() -> Callable[[bytes], bytes]:
    """Samples of 16 bit at 16 kHz as a file."""
    return _wav


@pytest.fixture
def files(make_pcm) -> Files:
    return [("files", (f"{i}.wav", _wav(make_pcm(i, 0.3 + 0.1 * (i % 3))))) for i in range(11)]


@pytest.fixture(scope="session")
def submit() -> Callable[..., str]:
    def submit(http: httpx.Client, files: Any, **params: Any) -> str:
        """The id of a new job."""
        response = http.post("/v1/jobs", params={"model": "fake", **params}, files=files)
        assert response.status_code == 202, response.text
        job = response.json()
        assert response.headers["location"] == f"/v1/jobs/{job['id']}"
        return str(job["id"])

    return submit


@pytest.fixture(scope="session")
def wait() -> Callable[..., dict[str, Any]]:
    def wait(http: httpx.Client, id: str, *states: str) -> dict[str, Any]:
        """The job once it is in one of the states, or done."""
        deadline = time.monotonic() + 10
        while (job := http.get(f"/v1/jobs/{id}").json())["state"] not in (states or ("done",)):
            assert time.monotonic() < deadline, job
            time.sleep(0.01)
        return dict(job)

    return wait


@pytest.fixture(scope="session")
def lines() -> Callable[[str], list[dict[str, Any]]]:
    def lines(text: str) -> list[dict[str, Any]]:
        """What an NDJSON result says, but for the times that it took."""
        records = [json.loads(line) for line in text.splitlines()]
        for record in records:
            del record["cost"]
        return sorted(records, key=lambda r: r["file"])

    return lines


@pytest.fixture(scope="session")
def hold_after() -> Callable[..., tuple[threading.Event, threading.Event]]:
    def hold_after(server: Any, calls: int) -> tuple[threading.Event, threading.Event]:
        """The runtime stops at its next call but so many: what lets it go on, and whether it has
        stopped."""
        hold, held = threading.Event(), threading.Event()
        left = [calls]

        def run(frames: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                held.set()
                hold.wait(10)

        server.runtimes["fake"].before_run = run
        return hold, held

    return hold_after
