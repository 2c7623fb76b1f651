"""docs/performance.md, written from the benchmarks' JSON so that no figure is typed by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surnn.bench.goals import GOALS, Results
from surnn.bench.plots import plot_latency, plot_open_rate
from surnn.bench.tables import markdown, table
from surnn.errors import InvalidConfig

__all__ = ["machine_line", "render", "write_report"]

_COMMANDS = {
    "kernel": "surnn bench kernel --output docs/data/kernel.json",
    "features": "surnn bench features --output docs/data/features.json",
    "stream": "surnn bench stream --output docs/data/stream.json",
    "server": "surnn bench server --output docs/data/server.json",
    "capacity": "surnn bench capacity --p99-ms 50 --seconds 60 --output docs/data/capacity.json",
    "processes": "surnn bench processes --output docs/data/processes.json",
}
_ABOUT = {
    "kernel": """## One recurrent layer

Time of one step of the whole batch, in CPU time; medians of turns in alternation. The native
kernels, ONNX Runtime's GRU node and torch.nn.GRU run the same weights on the same inputs. One
session takes chunks of 100 frames, batches take chunks of 10 with every session at its own frame
number. *Of roof*: the least time in which the weights that are needed could be read (or multiplied
with) on this machine, as a share of the time taken; in whichever order needs less, all sessions
frame by frame or one session after the other. *Error*: against float64.""",
    "features": """## Front end

Log-mel energies, 40 bands, a frame every 10 ms: CPU time per second of audio and session.""",
    "stream": """## From PCM to events

One stream, one core: everything from bytes to events, in CPU time. The peers get the same PCM in
the chunks that they prescribe.""",
    "server": """## Server under load

Streams send 100 ms of audio at a time, each at its own moment on an absolute schedule, from another
process. Latency is from the moment at which a chunk's audio ends to the arrival of its result.""",
    "capacity": """## Capacity

The largest number of streams that was found to keep the bound: short runs while searching, one long
run to confirm. The server has one core, the streams come from another.""",
    "processes": """## One process or several

The same search with the server free on all cores: one process, whose kernels leave the interpreter
to other threads while they compute, against `surnn serve --workers`. The streams come from the same
cores, so on two cores both are held back; what counts is which holds more.""",
}


def write_report(data: Path, page: Path) -> list[Path]:
    """Write the page and its plots; the paths written.

    Raises `InvalidConfig` when the folder holds no results.
    """
    results = _read(data)
    page.parent.mkdir(parents=True, exist_ok=True)
    written = [page]
    plots: dict[str, str] = {}
    for name, plot in (("kernel", plot_open_rate), ("server", plot_latency)):
        if name in results:
            path = page.parent / f"performance-{name}.png"
            plot(results[name], path)
            plots[name] = path.name
            written.append(path)
    page.write_text(render(results, plots))
    return written


def render(results: Results, plots: Mapping[str, str]) -> str:
    """The page as Markdown; `plots` names an image for some of the results."""
    parts = [
        "# Performance",
        "Written by `surnn bench report` from the JSON in `docs/data`; do not edit. Absolute times "
        "belong to the machine named with them, ratios travel.",
        "## Goals",
        _goals(results),
    ]
    for name, about in _ABOUT.items():
        if name not in results:
            continue
        result = results[name]
        parts += [about, f"`{_COMMANDS[name]}`", machine_line(result["machine"])]
        if name in plots:
            parts.append(f"![{name}]({plots[name]})")
        parts.append(markdown(result))
    return "\n\n".join(parts) + "\n"


def _read(data: Path) -> dict[str, dict[str, Any]]:
    results = {}
    for path in sorted(data.glob("*.json")):
        result = json.loads(path.read_text())
        if result.get("benchmark") in _ABOUT:
            results[result["benchmark"]] = result
    if not results:
        raise InvalidConfig(
            f"{data} holds no results, expected JSON files of `surnn bench ... --output`"
        )
    return results


def _goals(results: Results) -> str:
    rows: list[list[object]] = []
    for goal in GOALS:
        try:
            value = goal.value(results)
        except LookupError:
            rows.append([goal.name, goal.floor, goal.aim, "not measured", ""])
        else:
            rows.append([goal.name, goal.floor, goal.aim, value, goal.verdict(value)])
    return table(["goal", "floor", "aim", "measured", "reached"], rows)


def machine_line(machine: Mapping[str, Any]) -> str:
    """What `surnn.bench.machine.describe` found, on one line."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"*{machine['cpu']} ({machine['cpu_model']}), {machine['cores']} cores, "
        f"{' '.join(machine['vectors'])}; load {machine['load']}; "
        f"Python {machine['python']}, {versions}; {machine['time'][:10]}*"
    )
