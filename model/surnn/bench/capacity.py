"""`surnn bench capacity`: how many real-time streams one server holds within a latency bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from surnn.bench.machine import describe
from surnn.bench.process import pin, raise_file_limit, running_server
from surnn.bench.server import ServerBench, measure, server_cores

__all__ = ["CapacityBench", "bench_capacity", "search"]

_PROBE_S = 8.0
"""Length of the probes of the search; the answer is confirmed over the full time."""


@dataclass(frozen=True)
class CapacityBench:
    """What is to be found."""

    model: str = "vad"
    p99_ms: float = 50.0
    seconds: float = 60.0
    chunk_ms: int = 100
    start: int = 200
    limit: int = 8000
    """Most streams to try."""
    resolution: float = 0.1
    """The search ends when the bounds are this close, as a share."""
    pinned: bool = True


def bench_capacity(
    options: CapacityBench, progress: Callable[[str], None] = lambda line: None
) -> dict[str, object]:
    """Search the largest number of streams with p99 under the bound. Raises `SurnnError`."""
    raise_file_limit()
    server_core, own_core = server_cores(options.pinned)
    base = ServerBench(
        model=options.model,
        chunk_ms=options.chunk_ms,
        late_ms=options.p99_ms,
        pinned=options.pinned,
    )
    probes: list[dict[str, Any]] = []
    with running_server(options.model, options.limit + 8, core=server_core) as server:
        if own_core is not None:
            pin(0, own_core)

        def holds(streams: int, seconds: float) -> bool:
            row: dict[str, Any] = measure(server, replace(base, seconds=seconds), streams)
            row["holds"] = _within(row, options.p99_ms)
            probes.append(row)
            p99 = row["latency_ms"]["p99"]
            progress(f"{streams} streams, {seconds:g} s: p99 {p99} ms")
            return bool(row["holds"])

        streams = search(
            lambda n: holds(n, min(_PROBE_S, options.seconds)),
            start=options.start,
            limit=options.limit,
            resolution=options.resolution,
        )
        # A short probe may have been lucky.
        while streams and not holds(streams, options.seconds):
            streams = int(streams * (1 - options.resolution))
    return {
        "benchmark": "capacity",
        "machine": describe(),
        "model": options.model,
        "pinned": server_core is not None,
        "chunk_ms": options.chunk_ms,
        "p99_ms": options.p99_ms,
        "streams": streams,
        "probes": probes,
    }


def search(holds: Callable[[int], bool], *, start: int, limit: int, resolution: float) -> int:
    """The largest number found to hold: doubling, then halving the interval. 0: not even one."""
    good, trial = 0, min(start, limit)
    bad = limit + 1
    while good < limit and holds(trial):
        good, trial = trial, min(2 * trial, limit)
    if good < limit:
        bad = trial
    while bad - good > max(1, resolution * good) and good < limit:
        middle = (good + bad) // 2
        if holds(middle):
            good = middle
        else:
            bad = middle
    return good


def _within(row: dict[str, Any], p99_ms: float) -> bool:
    p99 = row["latency_ms"]["p99"]
    return p99 is not None and p99 <= p99_ms and row["lost"] == 0 and not row["errors"]
