"""The shipped models, behind a real server on a free port."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
import soundfile

import surnn
from surnn.assets import demo_recording
from surnn.types import Float32
from surnn_server import Settings, create_app
from surnn_server.dependencies import service_of
from surnn_server.serve import make_server
from surnn_server.service import Service


@dataclass(frozen=True)
class Live:
    """A running server."""

    url: str
    service: Service

    def wait_until_empty(self) -> None:
        deadline = time.monotonic() + 5.0
        while any(w.sessions for w in self.service.workers.values()) or self.service.sessions:
            assert time.monotonic() < deadline, "sessions or slots are left"
            time.sleep(0.01)


@contextlib.contextmanager
def serving(models: Mapping[str, surnn.Model] | None = None) -> Iterator[Live]:
    settings = Settings(port=0, log_level="warning")
    app = create_app(settings, models)
    server = make_server(app, settings)
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < deadline, "the server took too long to start"
            time.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield Live(f"http://{host}:{port}", service_of(app))
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="session")
def serve() -> Callable[..., contextlib.AbstractContextManager[Live]]:
    """`with serve(models) as live`."""
    return serving


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    """A server with the shipped models."""
    with serving() as live:
        yield live


@pytest.fixture(scope="session")
def vad() -> surnn.Model:
    return surnn.load("vad")


@pytest.fixture(scope="session")
def recording() -> np.ndarray:
    """The bundled recording, int16 at 16 kHz."""
    samples, rate = soundfile.read(demo_recording(), dtype="int16")
    assert rate == 16_000
    return samples


@pytest.fixture(scope="session")
def probs_of() -> Callable[..., Float32]:
    """Probabilities [T, C] of one stream fed in pieces of the given sizes, or as a whole."""

    def run(model: surnn.Model, samples: np.ndarray, sizes: list[int] | None = None) -> Float32:
        cuts = np.cumsum(sizes or [])
        with model.stream() as stream:
            results = [r for part in np.split(samples, cuts) for r in stream.feed(part)]
            results += stream.finish()[0]
        return np.concatenate([r.probs for r in results])

    return run
