"""Real servers as processes that can be killed, and what their streams must give."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import surnn
from surnn.bench.machine import describe
from surnn_cli.soak.sounds import Result, Sound, event_key, make_sound, undisturbed
from surnn_client import Chunk, Client, ClientError, EventMessage, Reconnected, Summary
from surnn_client.aio import AsyncStream, connect_async
from surnn_client.reconnect import Reconnect
from surnn_server.tokens import new_key

SESSIONS = int(os.environ.get("SURNN_FAULT_SESSIONS", "6"))
SECONDS = float(os.environ.get("SURNN_FAULT_SECONDS", "6"))
KILLS = int(os.environ.get("SURNN_FAULT_KILLS", "2"))
REPORT = os.environ.get("SURNN_FAULT_REPORT", "")
"""File for what was tried and how it ended, as JSON."""
TOLERANCE = 1e-5
"""Of ONNX Runtime's probabilities: their last bits depend on what shares a call.

The logits of two such calls were seen to differ by 1e-7; the model here multiplies them by 8.
"""
SPEED = 3.0

_tests: list[dict[str, object]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "tests/faults/" in report.nodeid and (report.when == "call" or not report.passed):
        name = report.nodeid.rpartition("/")[2].replace("::", ": ")
        _tests.append(
            {"test": name, "outcome": report.outcome, "seconds": round(report.duration, 1)}
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    if REPORT:
        keyword = session.config.getoption("keyword")
        result = {
            "report": "faults",
            "selected": [*session.config.args, *(["-k", keyword] if keyword else [])],
            "machine": describe(),
            "settings": {"sessions": SESSIONS, "seconds": SECONDS, "kills": KILLS},
            "tests": _tests,
        }
        Path(REPORT).write_text(json.dumps(result, indent=2) + "\n")


@dataclass
class Told(Result):
    """What a stream gave, and how."""

    reconnects: list[Reconnected] = field(default_factory=list)
    summary: Summary | None = None
    stream: AsyncStream | None = None

    @property
    def saved(self) -> bool:
        """Does its client hold a checkpoint of what it has sent?"""
        held = self.stream.checkpoint if self.stream else None
        return held is not None and held.position > 0


class Process:
    """A server in a process of its own."""

    def __init__(
        self, model: Path, port: int, folder: Path, prefix: Sequence[str], **settings: str
    ) -> None:
        scheme = "wss" if "ssl_certfile" in settings else "ws"
        self.url = f"{scheme}://127.0.0.1:{port}"
        command = [*prefix, sys.executable, "-m", "surnn_cli", "serve", "--log-level", "warning"]
        self._process = subprocess.Popen(
            [*command, "--port", str(port), "--models", str(model)],
            env=os.environ
            | {f"SURNN_{k.upper()}": v for k, v in settings.items()}
            | {"TMPDIR": str(folder)},
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 300
        with Client(self.url, timeout=2.0) as client:
            while True:
                try:
                    client.health()
                except ClientError:
                    assert self._process.poll() is None, "the server ended at its start"
                    assert time.monotonic() < deadline, "the server was not ready in time"
                    time.sleep(0.02)
                else:
                    return

    def members(self) -> list[int]:
        """Processes of its workers, in order of their numbers where none was replaced."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                command = stat.with_name("cmdline").read_text()
                if int(fields[1]) == self._process.pid and "spawn_main" in command:
                    found.append((int(fields[19]), int(stat.parent.name)))
        return [pid for _, pid in sorted(found)]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(30)


class Servers:
    """Starts servers that share a model and a key; ends all of them."""

    def __init__(self, model: Path) -> None:
        self.model = model
        self.key = new_key()
        # Not pytest's: the path of a Unix socket has to be short.
        self.folder = Path(tempfile.mkdtemp(prefix="surnn-"))
        """Where servers put what is temporary."""
        self._all: list[Process] = []

    def start(
        self, port: int | None = None, prefix: Sequence[str] = (), **settings: str
    ) -> Process:
        """`prefix` is a command that starts the server's."""
        settings = {"state_keys": self.key, "checkpoint_interval_s": "1"} | settings
        process = Process(self.model, port or free_port(), self.folder, prefix, **settings)
        self._all.append(process)
        process.wait_ready()
        return process

    def stop(self) -> None:
        for process in self._all:
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def live(
    sound: Sound,
    urls: str | list[str] | Callable[[], str],
    told: Told,
    may_end: asyncio.Event | None = None,
    attempts: int = 400,
) -> None:
    """Stream in pieces of odd sizes, a few times faster than real time.

    The last quarter waits until the stream may end.
    """
    random = np.random.default_rng(len(sound.data))

    async def chunks() -> object:
        at, began = 0, time.monotonic()
        while at < len(sound.data):
            size = int(random.integers(1, sound.bytes_per_second // 8))
            if may_end is not None and at > 0.75 * len(sound.data):
                await may_end.wait()
            yield sound.data[at : at + size]
            at += size
            due = began + at / sound.bytes_per_second / SPEED
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async with connect_async(
        urls,
        model="mortal",
        sample_rate=sound.rate,
        encoding=sound.encoding,
        channels=sound.channels,
        report="frame",
        reconnect=Reconnect(
            attempts=attempts, within_s=300.0, max_delay_s=1.0, checkpoint_interval_s=0.5
        ),
    ) as stream:
        told.stream = stream
        async for message in stream.run(chunks()):
            match message:
                case Chunk():
                    told.probs += message.probs["speech"].frames
                case EventMessage():
                    assert message.number == len(told.events) + 1
                    told.events.append(event_key(message))
                case Reconnected():
                    told.reconnects.append(message)
                case Summary():
                    told.summary = message


def assert_equal(seen: Told, expected: Result, sound: Sound, *, exact: bool) -> None:
    """The same events and the same float32 probabilities, to the last bit if `exact`."""
    assert seen.summary is not None
    assert seen.summary.samples * sound.channels * sound.width == len(sound.data)
    assert seen.summary.frames == len(seen.probs) == len(expected.probs)
    assert seen.summary.events == len(seen.events)
    probs, wanted = np.array(seen.probs, np.float32), np.array(expected.probs, np.float32)
    if exact:
        np.testing.assert_array_equal(probs, wanted)
        assert seen.events == expected.events
    else:
        np.testing.assert_allclose(probs, wanted, rtol=0, atol=TOLERANCE)
        assert [event[:3] for event in seen.events] == [event[:3] for event in expected.events]


@dataclass(frozen=True)
class Faults:
    """What the tests of this folder use."""

    servers: Servers
    exact: bool
    """Are results the same bits whatever shares a call?"""
    sessions: int
    kills: int
    sounds: list[Sound]
    expected: list[Result]
    live = staticmethod(live)
    told = Told
    free_port = staticmethod(free_port)

    def check(self, told: list[Told]) -> None:
        for seen, expected, sound in zip(told, self.expected, self.sounds, strict=True):
            assert_equal(seen, expected, sound, exact=self.exact)


@pytest.fixture(scope="session")
def mortal_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a clock, an encoder and random weights that says much."""
    import torch

    from surnn.export import export
    from surnn.nn import Network
    from surnn.spec import (
        EncoderSpec,
        EventRule,
        Head,
        LayerSpec,
        LogMelFrontEnd,
        ModelKind,
        ModelSpec,
    )

    torch.manual_seed(3)
    network = Network(
        ModelSpec(
            name="mortal",
            kind=ModelKind.AUDIO,
            sample_rate=16_000,
            hop=160,
            frontend=LogMelFrontEnd(),
            encoder=EncoderSpec(width=24),
            layers=(LayerSpec(hidden=32), LayerSpec(hidden=16)),
            labels=("speech",),
            head=Head.SIGMOID,
            events=(EventRule(label="speech", on=0.5, off=0.5, min_on=0.02, min_off=0.02),),
        )
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith("head"):
                parameter.mul_(8.0)
    folder = tmp_path_factory.mktemp("models") / "mortal"
    export(network, folder)
    return folder


@pytest.fixture(scope="session")
def prepared(mortal_model: Path) -> Callable[[str], tuple[Path, list[Sound], list[Result]]]:
    """By runtime: a model that it runs, sounds, and what they give undisturbed."""
    sounds = [make_sound(seed, SECONDS) for seed in range(SESSIONS)]

    @functools.cache
    def prepare(runtime: str) -> tuple[Path, list[Sound], list[Result]]:
        path = mortal_model
        if runtime == "onnx":
            # Without its weights beside it, no other runtime can take the graph.
            path = path.with_name("graph") / "model.onnx"
            path.parent.mkdir()
            path.write_bytes((mortal_model / "model.onnx").read_bytes())
        model = surnn.load(str(path))
        assert model.runtime.name == runtime
        return path, sounds, [undisturbed(model, sound) for sound in sounds]

    return prepare


@pytest.fixture(scope="session")
def make_servers() -> type[Servers]:
    return Servers


@pytest.fixture(params=["native", "onnx"])
def faults(
    request: pytest.FixtureRequest,
    prepared: Callable[[str], tuple[Path, list[Sound], list[Result]]],
) -> Iterator[Faults]:
    path, sounds, expected = prepared(request.param)
    servers = Servers(path)
    try:
        yield Faults(servers, request.param == "native", SESSIONS, KILLS, sounds, expected)
    finally:
        servers.stop()
