"""A scripted WebSocket server, a real one, a tiny model, and the command line."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result
from websockets.asyncio.server import ServerConnection, serve

from surnn_cli import app
from surnn_client import Message, connect, connect_async

READY: dict[str, Any] = {
    "type": "ready",
    "seq": 0,
    "protocol": 1,
    "session": "s1",
    "model": {
        "name": "vad",
        "version": "1",
        "labels": ["speech"],
        "sample_rate": 16000,
        "hop": 160,
        "layers": [64, 64],
    },
    "limits": {
        "max_message_bytes": 1048576,
        "max_buffered_seconds": 30.0,
        "idle_timeout_s": 60.0,
        "max_session_s": 0.0,
        "checkpoint_interval_s": 0.0,
    },
    "resumed": False,
    "position": 0,
    "frames": 0,
    "events": 0,
}
SPARSITY = {"open_rate": [0.25, 0.125], "updates": 240, "skipped": 1040, "possible": 1280}
SUMMARY: dict[str, Any] = {
    "type": "summary",
    "seq": 9,
    "reason": "end",
    "seconds": 0.1,
    "samples": 1600,
    "frames": 10,
    "events": 1,
    "sparsity": SPARSITY,
    "cost": {"compute_ms": 2.0, "realtime_factor": 50.0},
}
EVENT: dict[str, Any] = {
    "type": "event",
    "seq": 1,
    "label": "speech",
    "kind": "start",
    "time": 0.5,
    "score": 0.75,
    "sample": 8000,
    "open_rate": [0.25, 0.125],
    "latency_ms": 2.5,
}


def _run_blocking(url: Any, chunks: list[bytes], **options: Any) -> list[Message]:
    with connect(url, **options) as stream:
        return list(stream.run(chunks))


def _run_asyncio(url: Any, chunks: list[bytes], **options: Any) -> list[Message]:
    async def main() -> list[Message]:
        async with connect_async(url, **options) as stream:
            return [message async for message in stream.run(chunks)]

    return asyncio.run(main())


@pytest.fixture(params=[_run_blocking, _run_asyncio])
def run(request: pytest.FixtureRequest) -> Callable[..., list[Message]]:
    """Sends chunks through a stream of either client; everything that it heard."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def event_message() -> dict[str, Any]:
    """What an event is told with."""
    return dict(EVENT)


class Peer:
    """What a script uses: its end of the connection, speaking the protocol's JSON."""

    def __init__(self, websocket: ServerConnection) -> None:
        self.websocket = websocket
        self.start: dict[str, Any] = {}

    async def say(self, **message: Any) -> None:
        await self.websocket.send(json.dumps(message))

    async def hear(self) -> bytes | dict[str, Any]:
        data = await self.websocket.recv()
        return data if isinstance(data, bytes) else dict(json.loads(data))

    async def open(self, **limits: float) -> None:
        first = await self.hear()
        assert isinstance(first, dict)
        self.start = first
        await self.say(**(READY | {"limits": READY["limits"] | limits}))

    async def finish(self) -> None:
        await self.say(**SUMMARY)
        await self.websocket.close(1000)


class ScriptedServer:
    """Runs scripts in a thread of its own, on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._servers: list[Any] = []
        self.failures: list[BaseException] = []

    def __call__(self, script: Callable[[Peer], Awaitable[None]]) -> str:
        async def handle(websocket: ServerConnection) -> None:
            try:
                await script(Peer(websocket))
            except AssertionError as error:
                self.failures.append(error)

        async def begin() -> int:
            # Without a bound on what waits unread: a full queue would hide the client's close.
            server = await serve(handle, "127.0.0.1", 0, max_size=None, max_queue=None)
            self._servers.append(server)
            return int(next(iter(server.sockets)).getsockname()[1])

        return f"ws://127.0.0.1:{asyncio.run_coroutine_threadsafe(begin(), self._loop).result(5)}"

    def stop(self) -> None:
        async def end() -> None:
            for server in self._servers:
                server.close()
                await server.wait_closed()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    """Call it with a script (`async def script(peer)`); gives the URL of a server that runs it."""
    server = ScriptedServer()
    yield server
    server.stop()
    assert not server.failures


@pytest.fixture
def ready_message() -> dict[str, Any]:
    return READY


@pytest.fixture
def summary_message() -> dict[str, Any]:
    return SUMMARY


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real model that hears speech in everything."""
    import torch

    from surnn.export import export
    from surnn.nn import Network
    from surnn.spec import EventRule, Head, LayerSpec, LogMelFrontEnd, ModelKind, ModelSpec

    spec = ModelSpec(
        name="tiny",
        kind=ModelKind.AUDIO,
        sample_rate=16000,
        hop=160,
        frontend=LogMelFrontEnd(),
        layers=(LayerSpec(hidden=8), LayerSpec(hidden=4)),
        labels=("speech",),
        head=Head.SIGMOID,
        events=(EventRule(label="speech"),),
        licence="CC0-1.0",
        metrics={"test set": {"accuracy": 0.75, "open_rate": 0.125}},
    )
    network = Network(spec)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith("head"):
                parameter.fill_(3.0 if name.endswith("bias") else 0.0)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    export(network, folder)
    return folder


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of noise, 8 kHz, stereo."""
    path = tmp_path_factory.mktemp("audio") / "noise.wav"
    noise = np.random.default_rng(0).normal(0.0, 0.1, (8000, 2)).astype(np.float32)
    soundfile.write(path, noise, 8000)
    return path


@pytest.fixture(scope="module")
def server_url(tiny_model: Path) -> Iterator[str]:
    """The address of a real server of the tiny model."""
    from surnn_cli.server_process import running_server

    with running_server(str(tiny_model)) as url:
        yield url


@pytest.fixture
def surnn() -> Callable[..., Result]:
    """Runs the command line: `surnn("score", path, input=b"...")`."""

    def run(*args: object, **options: Any) -> Result:
        result = CliRunner().invoke(app, [str(arg) for arg in args], **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
