"""Plots of benchmark results. Needs matplotlib (the `torch` extra has it)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["plot_latency", "plot_open_rate"]

_SIZE = (7.0, 4.2)


def plot_open_rate(result: Mapping[str, Any], path: Path) -> None:
    """Time of a step against the open rate, H = 256, one session."""
    from matplotlib.figure import Figure

    rows = [r for r in result["rows"] if r["hidden"] == 256 and r["batch"] == 1]
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    for switch in dict.fromkeys(r["switch"] for r in rows):
        points = sorted(
            (r["open_rate"], r["us_per_step"])
            for r in rows
            if r["switch"] == switch and r["runtime"] == "native"
        )
        axes.plot(*zip(*points, strict=True), marker="o", label=f"native, {switch}")
    dense = [r["us_per_step"] for r in rows if r["runtime"] == "onnx"]
    if dense:
        axes.axhline(dense[0], color="black", linestyle="--", label="ONNX Runtime, dense")
    axes.set(xlabel="share of open switches", ylabel="µs per step", xlim=(0, 1), ylim=(0, None))
    axes.set_title("One suGRU layer of 256 neurons, one session", fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def plot_latency(result: Mapping[str, Any], path: Path) -> None:
    """Latency of results against the number of streams."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    # Runs of one size follow each other while the answer is confirmed: the last one counts.
    rows = {r["streams"]: r["latency_ms"] for r in result["rows"] if r["latency_ms"]["p99"]}
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    streams = sorted(rows)
    for name in ("p50", "p95", "p99"):
        axes.plot(streams, [rows[n][name] for n in streams], marker="o", label=name)
    axes.axhline(50, color="black", linestyle="--", linewidth=1)
    axes.set(xlabel="real-time streams", ylabel="ms from the end of a chunk to its result")
    axes.set_yscale("log")
    axes.set_yticks([5, 10, 20, 50, 100, 200, 500, 1000])
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(2, max(100, 1.2 * max(row["p99"] for row in rows.values())))
    axes.set_title("Server on one core, chunks of 100 ms", fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
