"""`surnn bench server`: paced WebSocket streams from this process against a server in another."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass

from surnn.bench.load import LoadResult, LoadTest, percentile, play
from surnn.bench.machine import describe
from surnn.bench.process import ServerProcess, pin, raise_file_limit, running_server
from surnn.bench.stream import noise_bursts
from surnn.model import load

__all__ = ["ServerBench", "bench_server", "measure", "server_cores"]

Row = dict[str, object]


@dataclass(frozen=True)
class ServerBench:
    """What is to be measured."""

    model: str = "vad"
    streams: tuple[int, ...] = (1, 100, 500, 800, 1000)
    seconds: float = 20.0
    chunk_ms: int = 100
    late_ms: float = 50.0
    """A result after this counts as late."""
    pinned: bool = True
    """Server on the first core, load on the second, where there are two."""
    pcm: bytes | None = None


def server_cores(pinned: bool) -> tuple[int | None, int | None]:
    """The server's core and the load generator's."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (cores[0], cores[1]) if pinned and len(cores) > 1 else (None, None)


def bench_server(options: ServerBench) -> dict[str, object]:
    """Latency, CPU and memory for each number of streams. Raises `SurnnError`."""
    raise_file_limit()
    server_core, own_core = server_cores(options.pinned)
    sessions = max(options.streams) + 8
    with running_server(options.model, sessions, core=server_core) as server:
        if own_core is not None:
            pin(0, own_core)
        rows = [measure(server, options, count) for count in options.streams]
    return {
        "benchmark": "server",
        "machine": describe(),
        "model": options.model,
        "pinned": server_core is not None,
        "rows": rows,
    }


def measure(server: ServerProcess, options: ServerBench, streams: int) -> Row:
    """Play a number of streams against a running server."""
    # Without numba in the way: only the spec is wanted.
    spec = load(options.model, runtime="onnx").spec
    test = LoadTest(
        host=server.host,
        port=server.port,
        model=spec.name,
        streams=streams,
        seconds=options.seconds,
        pcm=options.pcm or noise_bursts(30.0),
        sample_rate=spec.sample_rate,
        lookahead=spec.lookahead * spec.hop,
        chunk_ms=options.chunk_ms,
    )
    memory, cpu = server.memory_bytes(), server.cpu_seconds()
    own, began = time.process_time(), time.perf_counter()
    result, peak = asyncio.run(_play(server, test))
    wall = time.perf_counter() - began
    cpu = server.cpu_seconds() - cpu
    return {
        "streams": streams,
        "chunk_ms": options.chunk_ms,
        "seconds": options.seconds,
        "chunks": len(result.latencies_ms),
        "latency_ms": _summary(result.latencies_ms),
        "late": _late(result, options.late_ms),
        "lost": result.lost,
        "errors": result.errors[:3],
        "server": {
            "cpu_share": round(cpu / wall, 3),
            "cpu_us_per_audio_second": round(cpu * 1e6 / (streams * result.wall_s), 1),
            "memory_mb": round(peak / 1e6, 1),
            "memory_kb_per_stream": round(max(0, peak - memory) / 1e3 / streams, 1),
        },
        "load_generator": {
            "cpu_share": round((time.process_time() - own) / wall, 3),
            "sending_late_ms": _summary(result.sending_late_ms),
        },
    }


async def _play(server: ServerProcess, test: LoadTest) -> tuple[LoadResult, int]:
    """The result, and the server's peak memory meanwhile."""
    peak = 0

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, server.memory_bytes())
            await asyncio.sleep(0.5)

    watcher = asyncio.create_task(watch())
    try:
        return await play(test), peak
    finally:
        watcher.cancel()


def _summary(values: list[float]) -> Row:
    return {
        "p50": percentile(values, 0.50),
        "p95": percentile(values, 0.95),
        "p99": percentile(values, 0.99),
        "max": percentile(values, 1.0),
    }


def _late(result: LoadResult, bound_ms: float) -> Row:
    late = sum(value > bound_ms for value in result.latencies_ms)
    return {
        "bound_ms": bound_ms,
        "chunks": late,
        "share": round(late / max(1, len(result.latencies_ms)), 5),
    }
