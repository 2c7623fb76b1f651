"""Benchmark results as Markdown tables: for the terminal and for docs/performance.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["markdown", "table"]

Result = Mapping[str, Any]


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; None becomes an empty cell."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_text(cell) for cell in line) + " |" for line in lines)


def markdown(result: Result) -> str:
    """The table of one benchmark's result."""
    return _TABLES[result["benchmark"]](result)


def _text(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _kernel(result: Result) -> str:
    rows = [
        [
            r["hidden"],
            r["batch"],
            r["open_rate"],
            r["switch"],
            r["kernel"],
            r["us_per_step"],
            r["ratio_to_onnx"],
            r["ratio_to_torch"],
            None if r["roofline_share"] is None else f"{r['roofline_share']:.0%}",
            r["max_error"],
        ]
        for r in result["rows"]
        if r["runtime"] == "native"
    ]
    columns = ["hidden", "batch", "open rate", "switch", "kernel", "µs/step"]
    return table([*columns, "x ONNX", "x torch", "of roof", "error"], rows)


def _features(result: Result) -> str:
    return table(
        ["sessions", "chunk ms", "runtime", "µs per second of audio", "x numpy", "error"],
        [
            [
                r["sessions"],
                r["chunk_ms"],
                r["runtime"],
                r["us_per_audio_second"],
                r["ratio"],
                r["max_error"],
            ]
            for r in result["rows"]
        ],
    )


def _stream(result: Result) -> str:
    rows = [
        [r["runtime"], r["chunk_ms"], r["realtime_factor"], r["us_per_audio_second"]]
        for r in result["rows"]
    ]
    own = {r["runtime"] for r in result["rows"]}
    rows += [
        [name, "its own", factor, round(1e6 / factor, 1)]
        for name, factor in result["realtime_factor"].items()
        if name not in own
    ]
    return table(["detector", "chunk ms", "x real time", "µs per second of audio"], rows)


def _server(result: Result) -> str:
    return _load_rows(result["rows"])


def _capacity(result: Result) -> str:
    return f"{result['streams']} streams with p99 under {result['p99_ms']:g} ms.\n\n" + _load_rows(
        result["probes"]
    )


def _processes(result: Result) -> str:
    rows: list[list[object]] = []
    for row in result["rows"]:
        held = [p for p in row["probes"] if p["holds"] and p["streams"] == row["streams"]]
        # The last of these is the long one that confirmed it.
        found = held[-1] if held else None
        rows.append(
            [
                row["processes"],
                row["streams"],
                found and found["latency_ms"]["p99"],
                found and found["server"]["cpu_share"],
                found and found["server"]["cpu_us_per_audio_second"],
                found and found["load_generator"]["cpu_share"],
            ]
        )
    columns = [f"streams with p99 under {result['p99_ms']:g} ms", "p99 ms", "server CPU"]
    return table(["processes", *columns, "CPU µs per second of audio", "load CPU"], rows)


def _load_rows(rows: Sequence[Result]) -> str:
    columns = ["streams", "p50 ms", "p95 ms", "p99 ms", "late", "lost", "server CPU"]
    columns += ["CPU µs per second of audio", "KB per stream", "load CPU"]
    return table(
        columns,
        [
            [
                r["streams"],
                r["latency_ms"]["p50"],
                r["latency_ms"]["p95"],
                r["latency_ms"]["p99"],
                f"{r['late']['share']:.2%}",
                r["lost"],
                r["server"]["cpu_share"],
                r["server"]["cpu_us_per_audio_second"],
                r["server"]["memory_kb_per_stream"],
                r["load_generator"]["cpu_share"],
            ]
            for r in rows
        ],
    )


def _gpu(result: Result) -> str:
    if result["dry_run"]:
        checked = sum("max_error" in r for r in result["rows"])
        return f"dry run: {checked} kernels checked against float64 on the CPU, nothing measured"
    columns = ["hidden", "batch", "open rate", "switch", "runtime", "µs/chunk", "µs/step"]
    columns += ["x cuDNN", "x torch steps", "GB/s", "TFLOP/s", "bytes written", "dense", "error"]
    keys = ["hidden", "batch", "open_rate", "switch", "runtime", "us_per_chunk", "us_per_step"]
    keys += ["ratio_to_cudnn", "ratio_to_torch_steps", "gbytes_per_s", "tflops"]
    keys += ["state_bytes_written", "state_bytes_dense", "max_error"]
    layers = table(columns, [[r.get(key) for key in keys] for r in result["rows"]])
    streams = table(
        ["streams", "mean ms", "p99 ms", "in real time"],
        [[r["streams"], r["mean_ms"], r["p99_ms"], r["sustained"]] for r in result["streams"]],
    )
    roof = ", ".join(f"{key} {value}" for key, value in result["roof"].items())
    return f"{result['device']}: {roof}\n\n{layers}\n\n{streams}"


_TABLES: dict[str, Callable[[Result], str]] = {
    "kernel": _kernel,
    "features": _features,
    "stream": _stream,
    "server": _server,
    "capacity": _capacity,
    "processes": _processes,
    "gpu": _gpu,
}
