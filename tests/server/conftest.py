"""A model without weights, whose every frame depends on all before it, and servers that run it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from surnn import Model, ModelSpec
from surnn.runtimes.base import FrameBlock
from surnn.spec import EventRule, Head, LayerSpec, LogMelFrontEnd, ModelKind, ScaleFrontEnd
from surnn.state import Slot, StatePool
from surnn_server import Settings, create_app
from surnn_server.cluster.member import PrivateDoor
from surnn_server.cluster.membership import Membership
from surnn_server.dependencies import jobs_of, service_of
from surnn_server.jobs.office import Jobs
from surnn_server.serve import make_server, prepared
from surnn_server.service import Service

Array = np.ndarray


class FakeRuntime:
    """Follows the level of a stream in its state: what it says depends on everything before.

    Attributes:
        before_run: called with the frames of a batch before it is computed; may wait or raise.
        batches: sessions in each call so far.
    """

    name = "fake"
    atomic = False

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.fingerprint = f"fake-{spec.name}"
        self.before_run: Callable[[Sequence[Array]], None] = lambda frames: None
        self.batches: list[int] = []

    def new_pool(self, capacity: int) -> StatePool:
        return StatePool(self.spec.states, capacity)

    def run(
        self, pool: StatePool, slots: Sequence[Slot], frames: Sequence[Array]
    ) -> list[FrameBlock]:
        self.batches.append(len(slots))
        pool.rows(slots)
        blocks = []
        for slot, block in zip(slots, frames, strict=True):
            state = pool.read(slot)
            h, t = state["h0"], int(state["t"])
            logits = np.empty((len(block), len(self.spec.labels)), np.float32)
            opened = np.empty((len(block), len(self.spec.layers)), np.float32)
            for i, frame in enumerate(block):
                level = np.float32(np.abs(frame).max())
                h = (np.float32(0.5) * h + level).astype(np.float32)
                logits[i] = h.sum() - np.float32(2.0)
                opened[i] = t % 3
                t += 1
            state["h0"], state["t"] = h, np.asarray(t, np.int64)
            pool.write(slot, state)
            blocks.append(FrameBlock(logits, opened))
        # Late, so that a failing call has moved states already: they have to be put back.
        self.before_run(frames)
        return blocks


def audio_spec(name: str = "fake") -> ModelSpec:
    return ModelSpec(
        name=name,
        kind=ModelKind.AUDIO,
        sample_rate=16000,
        hop=160,
        frontend=LogMelFrontEnd(),
        layers=(LayerSpec(hidden=4),),
        labels=("speech",),
        head=Head.SIGMOID,
        events=(EventRule(label="speech", min_on=0.02, min_off=0.02),),
    )


def sensor_spec() -> ModelSpec:
    return ModelSpec(
        name="sense",
        kind=ModelKind.SENSOR,
        sample_rate=50,
        hop=1,
        channels=3,
        frontend=ScaleFrontEnd(mean=(0.0,) * 3, scale=(1.0,) * 3),
        layers=(LayerSpec(hidden=4),),
        labels=("still", "walk"),
        head=Head.SOFTMAX,
    )


@dataclass
class Running:
    """A server that runs in a thread, on a free port of this machine."""

    url: str
    ws_url: str
    service: Service
    stop: Callable[[], None]
    runtimes: Mapping[str, FakeRuntime] = field(default_factory=dict)
    jobs: Jobs | None = None

    @property
    def slots(self) -> int:
        return sum(worker.sessions for worker in self.service.workers.values())

    def wait_until_empty(self) -> None:
        """Every session is gone and every slot is free, soon."""
        deadline = time.monotonic() + 5.0
        while self.slots or self.service.sessions or self.service.connections:
            assert time.monotonic() < deadline, (
                f"{self.slots} slots, {self.service.sessions} sessions and "
                f"{len(self.service.connections)} connections are left"
            )
            time.sleep(0.005)

    async def until_error(self, code: str, count: float = 1) -> None:
        """The server has sent, or tried to send, an error of that code."""
        deadline = time.monotonic() + 5.0
        while self.metric("surnn_errors_total", code=code) < count:
            assert time.monotonic() < deadline, f"no error {code!r}"
            await asyncio.to_thread(time.sleep, 0.005)

    def metric(self, name: str, **labels: str) -> float:
        return self.service.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def fake_runtime() -> FakeRuntime:
    return FakeRuntime(audio_spec())


@pytest.fixture
def make_fake() -> Callable[[ModelSpec], FakeRuntime]:
    return FakeRuntime


@pytest.fixture
def specs() -> dict[str, ModelSpec]:
    return {"fake": audio_spec(), "sense": sensor_spec()}


@contextlib.contextmanager
def running(membership: Membership | None = None, **overrides: Any) -> Iterator[Running]:
    settings = Settings(port=0, log_level="warning", **overrides)
    runtimes = {"fake": FakeRuntime(audio_spec()), "sense": FakeRuntime(sensor_spec())}
    models = {name: Model(runtime) for name, runtime in runtimes.items()}
    app = create_app(settings, models, membership)
    if membership is not None:
        # Members share this process. FastAPI makes routes when they are first asked for, and holds
        # back a warning meanwhile, which two threads must not do at once.
        prepared(app)
    server = make_server(app, settings)
    if membership is not None:
        server.on_started = PrivateDoor(server, membership.own_socket).open
    thread = threading.Thread(target=server.run, name="server")
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not stop"

    try:
        deadline = time.monotonic() + 10
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < deadline, "the server took too long to start"
            time.sleep(0.005)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        url = f"http://{host}:{port}"
        ws_url = f"ws://{host}:{port}/v1/stream"
        yield Running(url, ws_url, service_of(app), stop, runtimes, jobs_of(app))
    finally:
        stop()


@pytest.fixture(scope="session")
def run_server() -> Callable[..., contextlib.AbstractContextManager[Running]]:
    return running


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """A server with the default limits, shared by the tests of a module."""
    with running() as server:
        yield server


@dataclass
class Heard:
    """What a client was told."""

    messages: list[dict[str, Any]]
    code: int | None = None

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def error(self) -> dict[str, Any]:
        (error,) = self.of("error")
        assert error is self.messages[-1], "an error is the last message"
        return error


class Client:
    """A WebSocket client that says what it is told to, right or wrong."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket

    async def say(self, **message: Any) -> None:
        await self.websocket.send(json.dumps(message))

    async def start(self, model: str = "fake", **options: Any) -> dict[str, Any]:
        await self.say(type="start", model=model, **options)
        ready = await self.hear()
        assert ready["type"] == "ready", ready
        return ready

    async def send(self, data: bytes | str) -> None:
        await self.websocket.send(data)

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            message: dict[str, Any] = json.loads(await self.websocket.recv())
        return message

    async def hear_all(self) -> Heard:
        """Everything up to the close."""
        heard = Heard([])
        with contextlib.suppress(ConnectionClosed):
            while True:
                heard.messages.append(await self.hear())
        await self.websocket.wait_closed()
        heard.code = self.websocket.close_code
        return heard


@contextlib.asynccontextmanager
async def dial(server: Running, **options: Any) -> Any:
    async with connect(server.ws_url, compression=None, max_queue=None, **options) as websocket:
        yield Client(websocket)


@pytest.fixture(scope="session")
def call() -> Callable[..., contextlib.AbstractAsyncContextManager[Client]]:
    """`async with call(server) as client`."""
    return dial


async def _stream_all(server: Running, pcm: bytes, chunk: int = 3200, **options: Any) -> Heard:
    async with dial(server) as client:
        ready = await client.start(**options)
        for i in range(0, len(pcm), chunk):
            await client.send(pcm[i : i + chunk])
        await client.say(type="end")
        heard = await client.hear_all()
        heard.messages.insert(0, ready)
        return heard


@pytest.fixture(scope="session")
def stream_all() -> Callable[..., Any]:
    """Stream everything, end, and hear everything."""
    return _stream_all


@pytest.fixture(scope="session")
def make_pcm() -> Callable[..., bytes]:
    def make(seed: int, seconds: float = 1.0) -> bytes:
        """Bursts of noise in silence: something of everything."""
        random = np.random.default_rng(seed)
        samples = random.uniform(-1, 1, round(16000 * seconds))
        gate = np.repeat(random.uniform(size=len(samples) // 800 + 1) < 0.5, 800)[: len(samples)]
        return (samples * gate * random.uniform(0.5, 1) * 32767).astype("<i2").tobytes()

    return make
