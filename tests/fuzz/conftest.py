"""How hard the fuzzing tries: little in every run, a lot when asked.

`SURNN_FUZZ_EXAMPLES=20000 pytest tests/fuzz` for hypothesis, which looks for orders of things;
`make fuzz` for a million inputs from cheap, seeded generators, which look for odd bytes.
"""

from __future__ import annotations

import asyncio
import collections
import gc
import json
import logging
import os
import random
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from surnn import Model, ModelSpec, SurnnError
from surnn.bench.machine import describe
from surnn.runtimes.base import FrameBlock
from surnn.spec import Head, LayerSpec, LogMelFrontEnd, ModelKind, ScaleFrontEnd
from surnn.state import StatePool
from surnn_server import Settings
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.connection import Connection
from surnn_server.service import Service

settings.register_profile(
    "surnn",
    max_examples=int(os.environ.get("SURNN_FUZZ_EXAMPLES", "60")),
    deadline=None,
    derandomize="SURNN_FUZZ_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("surnn")

INPUTS = int(os.environ.get("SURNN_FUZZ_INPUTS", "12000"))
"""Of all campaigns together."""
SEED = int(os.environ.get("SURNN_FUZZ_SEED", "1"))
REPORT = os.environ.get("SURNN_FUZZ_REPORT", "")
"""File for the counts, as JSON."""
_OWN_CODES = ("invalid_input", "invalid_shape", "invalid_snapshot", "corrupt_model")
"""Of surnn itself, which the server tells clients under other names."""
MAX_GROWTH = 32 << 20
"""Bytes by which resident memory may grow after the first fifth of a campaign."""


class FuzzRuntime:
    """Adds up; refuses nothing."""

    name = "fuzz"
    atomic = False

    def __init__(self, kind: ModelKind = ModelKind.SENSOR) -> None:
        audio = kind is ModelKind.AUDIO
        scale = ScaleFrontEnd(mean=(0.0, 0.0), scale=(1.0, 1.0))
        self.spec = ModelSpec(
            name="hear" if audio else "fuzz",
            kind=kind,
            sample_rate=16_000 if audio else 50,
            hop=160 if audio else 1,
            channels=1 if audio else 2,
            frontend=LogMelFrontEnd() if audio else scale,
            layers=(LayerSpec(hidden=2),),
            labels=("on",),
            head=Head.SIGMOID,
        )
        self.fingerprint = self.spec.name

    def new_pool(self, capacity):
        return StatePool(self.spec.states, capacity)

    def run(self, pool, slots, frames):
        pool.rows(slots)
        return [
            FrameBlock(block.sum(axis=1, keepdims=True), np.ones((len(block), 1), np.float32))
            for block in frames
        ]


@pytest.fixture(scope="session")
def fuzz_runtimes() -> dict[str, FuzzRuntime]:
    """One for sensors, one for audio."""
    return {r.spec.name: r for r in (FuzzRuntime(), FuzzRuntime(ModelKind.AUDIO))}


class Stage:
    """A service without sockets, on a loop of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.settings = Settings(
            max_message_bytes=2048,
            max_buffered_seconds=5,
            max_buffered_bytes=4096,
            max_queued_messages=8,
            max_sessions=4,
            gather_ms=0,
            score_queue=0,
        )
        self.service = Service(self.settings, {"fuzz": Model(FuzzRuntime())})
        self.loop.run_until_complete(self.service.start())

    def close(self):
        self.loop.run_until_complete(self.service.stop())
        self.loop.close()

    def play(self, frames):
        """What a client hears that says all this, and then goes."""
        return self.loop.run_until_complete(self._play(frames))

    async def _play(self, frames):
        connection = Connection(self.service, lambda: None)
        heard = []

        async def listen():
            async for message in connection.outgoing():
                heard.append(message)

        listener = asyncio.create_task(listen())
        for frame in frames:
            # As the route does; a script that blocks for ever would be a hang.
            await asyncio.wait_for(connection.room(), 5)
            if isinstance(frame, bytes):
                connection.binary(frame)
            elif frame is None:
                await asyncio.sleep(0.001)
            else:
                connection.text(frame)
        connection.text('{"type": "end"}')
        await asyncio.wait_for(listener, 5)
        connection.gone()
        return heard

    def is_empty(self):
        async def empty():
            async with asyncio.timeout(5):
                # The worker frees slots in its own thread.
                while any(w.sessions for w in self.service.workers.values()):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)

        self.loop.run_until_complete(empty())
        return self.service.sessions == 0 and not self.service.connections


@pytest.fixture(scope="module")
def stage():
    stage = Stage()
    yield stage
    stage.close()


class Faults(logging.Handler):
    """Counts what the code under test did not expect."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))


class Campaigns:
    """Runs seeded inputs against a check, and keeps count."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def run(
        self,
        name: str,
        share: float,
        make: Callable[[random.Random], Any],
        check: Callable[[Any], str],
        *,
        each: int = 1,
        leak: int = 0,
    ) -> None:
        """A share of all inputs; `make` builds `each` of them in one go, and a library under what
        is tested is known to lose `leak` bytes at each.

        `check` names the outcome, lets refusals through, and raises anything else when something
        is not as it should be.
        """
        count = max(1, round(INPUTS * share / each))
        outcomes: collections.Counter[str] = collections.Counter()
        base = zlib.crc32(f"{SEED}/{name}".encode()) << 32
        faults, began, before = Faults(), time.perf_counter(), 0
        logging.getLogger().addHandler(faults)
        try:
            for i in range(count):
                if i == count // 5:
                    before = resident_bytes()
                data = make(random.Random(base + i))
                try:
                    outcomes[outcome_of(check, data)] += 1
                except Exception as error:
                    raise AssertionError(f"{name}, input {i} of seed {SEED}: {data!r}") from error
                assert not faults.seen, f"{name}, input {i}: {data!r}: {faults.seen[0]}"
        finally:
            logging.getLogger().removeHandler(faults)
        growth = resident_bytes() - before
        self.rows.append(
            {
                "target": name,
                "inputs": count * each,
                "outcomes": dict(outcomes.most_common()),
                "unhandled": len(faults.seen),
                "memory_growth_mb": round(growth / 1e6, 2),
                "seconds": round(time.perf_counter() - began, 1),
            }
        )
        assert len(outcomes) > 1, f"{name}: every input ended as {outcomes}"
        assert growth < MAX_GROWTH + leak * count, (
            f"{name}: {growth} bytes more than after the first inputs"
        )

    @staticmethod
    def spoil(chance: random.Random, data: bytes, most: int = 4) -> bytes:
        """The bytes with a few changes: bits, runs, cuts, repeats, extreme numbers."""
        changed = bytearray(data)
        for _ in range(chance.randint(1, most)):
            at = chance.randrange(len(changed) + 1)
            # Most of what is decided by bytes is decided by the first ones.
            if chance.random() < 0.5:
                at = min(at, chance.randrange(64))
            match chance.randrange(6):
                case 0 if at < len(changed):
                    changed[at] ^= 1 << chance.randrange(8)
                case 1:
                    changed[at : at + chance.randrange(9)] = chance.randbytes(chance.randrange(9))
                case 2:
                    edge = chance.choice(
                        (b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"-1", b"1e9")
                    )
                    changed[at : at + len(edge)] = edge
                case 3:
                    del changed[at : at + chance.randrange(1, 1 + max(1, len(changed) // 4))]
                case 4:
                    size = chance.randrange(1, 33)
                    changed[at:at] = changed[at : at + size]
                case _:
                    changed += chance.randbytes(chance.randrange(16))
        return bytes(changed)


def outcome_of(check: Callable[[Any], str], data: Any) -> str:
    """What the check says, or the code of the refusal that it ends with."""
    try:
        return check(data)
    except (SurnnError, Refusal) as refusal:
        code, message = str(refusal.code), str(refusal)
    assert code in [*ErrorCode, *_OWN_CODES], code
    assert code != ErrorCode.INTERNAL
    assert 0 < len(message) < 2000
    return code


def resident_bytes() -> int:
    """Memory of this process; 0 where the system does not say."""
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="session")
def campaigns() -> Iterator[Campaigns]:
    campaigns = Campaigns()
    yield campaigns
    if REPORT:
        total = sum(row["inputs"] for row in campaigns.rows)
        report = {
            "report": "fuzz",
            "machine": describe(),
            "seed": SEED,
            "inputs": total,
            "targets": campaigns.rows,
        }
        Path(REPORT).write_text(json.dumps(report, indent=2) + "\n")
