"""`surnn bench capacity`: how many real-time streams one server holds within a latency bound."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from surnn.bench.machine import describe
from surnn.bench.process import pin, raise_file_limit, running_server
from surnn.bench.server import ServerBench, measure, server_cores

__all__ = ["CapacityBench", "bench_capacity", "bench_processes", "search"]

_PROBE_S = 8.0
"""Length of the probes of the search; the answer is confirmed over the full time."""
_PAUSE_S = 1.0
"""Before each: for the server to be done with the one before."""
_STEP = 1.5


@dataclass(frozen=True)
class CapacityBench:
    """What is to be found."""

    model: str = "vad"
    p99_ms: float = 50.0
    seconds: float = 60.0
    chunk_ms: int = 100
    start: int = 800
    limit: int = 8000
    """Most streams to try."""
    resolution: float = 0.1
    """The search ends when the bounds are this close, as a share."""
    pinned: bool = True
    processes: int = 1
    """That serve; several are not pinned."""


Progress = Callable[[str], None]


def bench_capacity(
    options: CapacityBench, progress: Progress = lambda line: None
) -> dict[str, object]:
    """Search the largest number of streams with p99 under the bound. Raises `SurnnError`."""
    streams, probes = _find(options, progress)
    return {
        "benchmark": "capacity",
        "machine": describe(),
        "model": options.model,
        "pinned": _cores(options)[0] is not None,
        "processes": options.processes,
        "chunk_ms": options.chunk_ms,
        "p99_ms": options.p99_ms,
        "streams": streams,
        "probes": probes,
    }


def bench_processes(
    options: CapacityBench, progress: Progress = lambda line: None
) -> dict[str, object]:
    """The same for one process with its threads and for several, free on all cores.

    The load generator has no core for itself then, which counts against both alike.
    """
    rows = []
    for processes in sorted({1, options.processes}):
        free = replace(options, processes=processes, pinned=False)
        streams, probes = _find(free, progress)
        rows.append({"processes": processes, "streams": streams, "probes": probes})
    return {
        "benchmark": "processes",
        "machine": describe(),
        "model": options.model,
        "chunk_ms": options.chunk_ms,
        "p99_ms": options.p99_ms,
        "rows": rows,
    }


def _cores(options: CapacityBench) -> tuple[int | None, int | None]:
    return server_cores(options.pinned and options.processes == 1)


def _find(options: CapacityBench, progress: Progress) -> tuple[int, list[dict[str, Any]]]:
    """The streams that hold, and all that was tried."""
    raise_file_limit()
    server_core, own_core = _cores(options)
    base = ServerBench(model=options.model, chunk_ms=options.chunk_ms, late_ms=options.p99_ms)
    probes: list[dict[str, Any]] = []
    extra = ("--workers", str(options.processes)) if options.processes > 1 else ()
    sessions = options.limit + 8
    with running_server(options.model, sessions, core=server_core, extra=extra) as server:
        if own_core is not None:
            pin(0, own_core)

        def holds(streams: int, seconds: float) -> bool:
            time.sleep(_PAUSE_S)
            try:
                row: dict[str, Any] = measure(server, replace(base, seconds=seconds), streams)
            except OSError as error:
                progress(f"{streams} streams: {error}")
                return False
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
    return streams, probes


def search(holds: Callable[[int], bool], *, start: int, limit: int, resolution: float) -> int:
    """The largest number found to hold, 0 if not even one does.

    Steps of a factor from `start` to where it changes, then halves of the interval.
    """
    good, bad = 0, limit + 1
    trial = min(start, limit)
    while good < trial < bad:
        if holds(trial):
            good = trial
            trial = min(math.ceil(trial * _STEP), limit)
        else:
            bad = trial
            trial = math.floor(trial / _STEP)
        if good and bad <= limit:
            break
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
