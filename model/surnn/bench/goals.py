"""The goals of surnn's performance, read off the benchmarks' results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["GOALS", "Goal", "Results"]

Results = Mapping[str, Mapping[str, Any]]
"""Results by benchmark: kernel, features, stream, server, capacity."""


@dataclass(frozen=True)
class Goal:
    """One figure, the least that is wanted and what is aimed at."""

    name: str
    floor: float
    aim: float
    value: Callable[[Results], float]
    """Raises `LookupError` where the results do not hold it."""
    at_most: bool = False
    """Smaller is better."""

    def verdict(self, value: float) -> str:
        """`aim`, `floor` or `missed`."""
        sign = -1 if self.at_most else 1
        if sign * value >= sign * self.aim:
            return "aim"
        return "floor" if sign * value >= sign * self.floor else "missed"


def _kernel(results: Results, hidden: int, batch: int, switch: str, column: str) -> float:
    wanted = (hidden, batch, 0.17, switch, "native")
    for row in results["kernel"]["rows"]:
        key = (row["hidden"], row["batch"], row["open_rate"], row["switch"], row["runtime"])
        if key == wanted and row[column] is not None:
            return float(row[column])
    raise LookupError(f"no row for {wanted}")


def _against(peer: str, hidden: int, batch: int, switch: str, floor: float, aim: float) -> Goal:
    names = {"onnx": "ONNX Runtime's GRU", "torch": "torch.nn.GRU"}
    kinds = {"neuron": "one switch per neuron", "group16": "groups of 16"}
    return Goal(
        f"kernel over {names[peer]}, H={hidden}, B={batch}, {kinds[switch]}",
        floor,
        aim,
        lambda r: _kernel(r, hidden, batch, switch, f"ratio_to_{peer}"),
    )


def _chunk_factor(results: Results, chunk_ms: int) -> float:
    for row in results["stream"]["rows"]:
        if (row["runtime"], row["chunk_ms"]) == ("native", chunk_ms):
            return float(row["realtime_factor"])
    raise LookupError(f"no row for chunks of {chunk_ms} ms")


_FEW_LATE = 0.01


def _held(results: Results) -> list[Mapping[str, Any]]:
    """Rows of at least 100 streams that the server kept up with, fewest streams first.

    One stream alone leaves nothing to share, and an overloaded server puts streams off: neither
    says anything about growth.
    """
    rows = [
        r
        for r in results["server"]["rows"]
        if r["streams"] >= 100 and r["late"]["share"] <= _FEW_LATE and not r["lost"]
    ]
    return sorted(rows, key=lambda r: int(r["streams"]))


def _growth(results: Results) -> float:
    """CPU per stream at the most streams that were held over that at the fewest."""
    rows = _held(results)
    if len(rows) < 2:
        raise LookupError("fewer than two rows with at least 100 streams in time")
    cost = "cpu_us_per_audio_second"
    return float(rows[-1]["server"][cost]) / float(rows[0]["server"][cost])


def _memory(results: Results) -> float:
    rows = _held(results)
    if not rows:
        raise LookupError("no row with at least 100 streams in time")
    return float(rows[-1]["server"]["memory_kb_per_stream"])


def _drift(results: Results, grouped: bool) -> float:
    errors = [
        float(row["max_error"])
        for row in results["kernel"]["drift"]
        if (row["switch"] != "neuron") == grouped
    ]
    if not errors:
        raise LookupError("no drift was measured")
    return max(errors)


GOALS: tuple[Goal, ...] = (
    _against("onnx", 128, 1, "neuron", 3.5, 5),
    _against("onnx", 256, 1, "neuron", 5, 6),
    _against("onnx", 512, 1, "neuron", 5, 6),
    _against("onnx", 128, 1, "group16", 8, 12),
    _against("onnx", 256, 1, "group16", 10, 15),
    _against("onnx", 512, 1, "group16", 10, 14),
    _against("torch", 128, 1, "group16", 16, 60),
    _against("torch", 256, 1, "group16", 14, 40),
    _against("torch", 512, 1, "group16", 10, 25),
    _against("onnx", 128, 64, "group16", 4, 7),
    _against("onnx", 256, 64, "group16", 4, 7),
    _against("onnx", 512, 64, "group16", 4, 7),
    Goal(
        "embedded pipeline, x real time, chunks of 1 s",
        1500,
        4000,
        lambda r: _chunk_factor(r, 1000),
    ),
    Goal(
        "embedded pipeline, x real time, chunks of 100 ms",
        1500,
        4000,
        lambda r: _chunk_factor(r, 100),
    ),
    Goal(
        "server, streams with p99 under 50 ms, one core",
        800,
        1500,
        lambda r: float(r["capacity"]["streams"]),
    ),
    Goal("server, CPU per stream, most streams in time over 100", 1.2, 1.0, _growth, at_most=True),
    Goal("server, KB of memory per stream", 64, 16, _memory, at_most=True),
    Goal("error after 10,000 steps, rows", 1e-6, 2e-7, lambda r: _drift(r, False), at_most=True),
    Goal(
        "error after 10,000 steps, kept tiles", 5e-6, 2e-7, lambda r: _drift(r, True), at_most=True
    ),
)
