"""The performance page: rendered from results, honest about what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from surnn.bench.goals import GOALS
from surnn.bench.report import render, write_report
from surnn.bench.tables import table
from surnn.errors import InvalidConfig

MACHINE: dict[str, Any] = {
    "time": "2026-01-02T03:04:05+00:00",
    "cpu": "A processor",
    "cpu_model": "X 1 2 3",
    "cores": 2,
    "vectors": ["avx2"],
    "load": 0.1,
    "python": "3.11",
    "versions": {"numpy": "2.0"},
}


def kernel_result() -> dict[str, Any]:
    rows = []
    for rate in (0.17, 0.5):
        for runtime, us in (("native", 1.0), ("onnx", 10.0), ("torch", 30.0)):
            native = runtime == "native"
            rows.append(
                {
                    "hidden": 256,
                    "features": 40,
                    "batch": 1,
                    "open_rate": rate,
                    "switch": "group16",
                    "runtime": runtime,
                    "kernel": "block16" if native else None,
                    "steps": 100,
                    "us_per_step": us,
                    "ratio_to_onnx": 10.0 / us,
                    "ratio_to_torch": 30.0 / us,
                    "roofline_share": 0.5 if native else None,
                    "max_error": 1e-7 if native else None,
                }
            )
    drift = [{"hidden": 256, "switch": "group16", "steps": 10_000, "max_error": 1.5e-7}]
    return {"benchmark": "kernel", "machine": MACHINE, "rows": rows, "drift": drift}


def server_rows() -> list[dict[str, Any]]:
    return [
        {
            "streams": n,
            "latency_ms": {"p50": 1.0, "p95": 2.0, "p99": float(n) / 10, "max": 9.0},
            "late": {"bound_ms": 50.0, "chunks": 0, "share": 0.0},
            "lost": 0,
            "server": {
                "cpu_share": 0.5,
                "cpu_us_per_audio_second": 500.0 + n / 10,
                "memory_mb": 100.0,
                "memory_kb_per_stream": 12.0,
            },
            "load_generator": {"cpu_share": 0.1},
        }
        for n in (1, 100, 400)
    ]


def test_page_and_plots(tmp_path: Path) -> None:
    data, page = tmp_path / "data", tmp_path / "performance.md"
    data.mkdir()
    results = {
        "kernel": kernel_result(),
        "server": {"benchmark": "server", "machine": MACHINE, "rows": server_rows()},
        "capacity": {
            "benchmark": "capacity",
            "machine": MACHINE,
            "p99_ms": 50.0,
            "streams": 900,
            "probes": server_rows(),
        },
        "processes": {
            "benchmark": "processes",
            "machine": MACHINE,
            "p99_ms": 50.0,
            "rows": [
                {
                    "processes": processes,
                    "streams": streams,
                    "probes": [row | {"holds": True} for row in server_rows()],
                }
                for processes, streams in ((1, 100), (2, 400))
            ],
        },
    }
    for name, result in results.items():
        (data / f"{name}.json").write_text(json.dumps(result))
    (data / "other.json").write_text("{}")
    written = write_report(data, page)
    assert [path.name for path in written] == [
        "performance.md",
        "performance-kernel.png",
        "performance-server.png",
    ]
    assert all(path.stat().st_size > 500 for path in written)
    text = page.read_text()
    assert (
        "| kernel over ONNX Runtime's GRU, H=256, B=1, groups of 16 | 10 | 15 | 10 | floor |"
        in text
    )
    assert "| server, streams with p99 under 50 ms, one core | 800 | 1500 | 900 | floor |" in text
    assert "| server, KB of memory per stream | 64 | 16 | 12 | aim |" in text
    assert "chunks of 1 s | 1500 | 4000 | not measured |" in text
    assert "| 1 | 100 | 10 | 0.5 | 510 | 0.1 |" in text
    assert "| 2 | 400 | 40 | 0.5 | 540 | 0.1 |" in text
    assert "![kernel](performance-kernel.png)" in text
    assert "*A processor (X 1 2 3), 2 cores, avx2; load 0.1;" in text


def test_no_results_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="holds no results, expected JSON files"):
        write_report(tmp_path, tmp_path / "page.md")


def test_every_goal_copes_with_missing_results() -> None:
    text = render({}, {})
    assert text.count("not measured") == len(GOALS)


def test_growth_leaves_overloaded_servers_out() -> None:
    growth = next(goal for goal in GOALS if "in time over 100" in goal.name)
    rows = server_rows()
    assert growth.value({"server": {"rows": rows}}) == 540.0 / 510.0
    overloaded = rows[-1] | {"streams": 2000, "late": rows[-1]["late"] | {"share": 0.9}}
    assert growth.value({"server": {"rows": [*rows, overloaded]}}) == 540.0 / 510.0
    with pytest.raises(LookupError, match="fewer than two rows"):
        growth.value({"server": {"rows": [*rows[:2], overloaded]}})


def test_verdicts() -> None:
    more = next(goal for goal in GOALS if not goal.at_most)
    less = next(goal for goal in GOALS if goal.at_most)
    assert [more.verdict(v) for v in (more.aim, more.floor, more.floor - 0.1)] == [
        "aim",
        "floor",
        "missed",
    ]
    assert [less.verdict(v) for v in (less.aim, less.floor, less.floor + 0.1)] == [
        "aim",
        "floor",
        "missed",
    ]


def test_table_leaves_gaps_empty() -> None:
    assert table(["a", "b"], [[None, 0.123456]]).splitlines()[2] == "|  | 0.1235 |"
