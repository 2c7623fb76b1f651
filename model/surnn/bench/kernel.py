"""`surnn bench kernel`: one recurrent layer, skipping against computing everything.

Native kernels, ONNX Runtime's GRU node and torch.nn.GRU run the same weights on the same inputs.
B = 1 takes chunks of 100 frames; batches take chunks of 10, each session at its own frame number.
Times are per step of the whole batch. Which switches are open is known beforehand; finding that
out is timed apart (`switches`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from surnn.bench.layer import BenchLayer, TimedLayer
from surnn.bench.machine import describe
from surnn.bench.patterns import GROUPS, open_switches, words
from surnn.bench.peers import onnx_gru, random_weights, torch_gru
from surnn.bench.roofline import fma_gflops, read_gbytes
from surnn.bench.timing import interleaved
from surnn.clock import increments
from surnn.kernels import reference
from surnn.kernels.switches import neuron_bits
from surnn.types import Float32

__all__ = ["KernelBench", "bench_kernel"]

Row = dict[str, object]

_DRIFT_STEPS = 10_000
_CLOCKS = 16


@dataclass(frozen=True)
class KernelBench:
    """What is to be measured."""

    hidden: Sequence[int] = (64, 128, 256, 512)
    batch: Sequence[int] = (1, 8, 64, 256)
    open_rate: Sequence[float] = (0.05, 0.17, 0.5)
    switch: Sequence[str] = tuple(GROUPS)
    curve: Sequence[float] = (0.02, 0.05, 0.1, 0.17, 0.25, 0.35, 0.5, 0.7, 0.85, 1.0)
    """Open rates at hidden 256 and batch 1, in place of `open_rate`."""
    rounds: int = 9
    turn_s: float = 0.015
    drift_steps: int = _DRIFT_STEPS
    torch: bool = True


def bench_kernel(
    options: KernelBench, progress: Callable[[str], None] = lambda line: None
) -> dict[str, object]:
    """Measure every combination. Raises `MissingDependency` without onnx."""
    rows: list[Row] = []
    for hidden in options.hidden:
        for batch in options.batch:
            progress(f"hidden {hidden}, batch {batch}")
            rates = options.open_rate
            if hidden == 256 and batch == 1 and options.curve:
                rates = options.curve
            rows += _bench_size(hidden, batch, rates, options)
    progress("switches and drift")
    return {
        "benchmark": "kernel",
        "machine": describe(),
        "roof": {
            "fma_gflops": round(fma_gflops(), 1),
            "read_gbytes_per_s": {
                f"{size >> 10} KiB": round(read_gbytes(size), 1)
                for size in (1 << 15, 1 << 18, 1 << 20, 1 << 22, 1 << 25)
            },
        },
        "rows": rows,
        "switches": [
            _bench_switches(hidden, group, options)
            for hidden in options.hidden
            for group in options.switch
        ],
        "drift": [
            _drift(hidden, switch, options.drift_steps)
            for hidden in options.hidden
            for switch in options.switch
        ],
    }


def _inputs(hidden: int) -> int:
    """I: 40 features, and 64 for the largest layer."""
    return 64 if hidden >= 512 else 40


def _bench_size(hidden: int, batch: int, rates: Sequence[float], options: KernelBench) -> list[Row]:
    """All open rates and switches of one size, in one interleaved run."""
    inputs, steps = _inputs(hidden), 100 if batch == 1 else 10
    weights = random_weights(inputs, hidden)
    x = np.random.default_rng(1).standard_normal((batch, steps, inputs)).astype(np.float32)
    h: Float32 = np.zeros((batch, hidden), np.float32)
    work: dict[str, Callable[[], object]] = {"onnx": onnx_gru(weights, x, h)}
    if options.torch and (peer := torch_gru(weights, x, h)) is not None:
        work["torch"] = peer
    cases = {
        f"{switch} {rate}": TimedLayer(weights, x, switch, rate)
        for rate in rates
        for switch in options.switch
    }
    work |= {name: case.run for name, case in cases.items()}
    times = interleaved(work, rounds=options.rounds, turn_s=options.turn_s)
    rows = []
    for name, case in cases.items():
        for runtime, key in (("native", name), ("onnx", "onnx"), ("torch", "torch")):
            if key in times:
                row: Row = {"hidden": hidden, "features": inputs, "batch": batch}
                rows.append(row | _measured(case, runtime, times, key, steps))
    return rows


def _measured(case: TimedLayer, runtime: str, times: dict[str, float], key: str, steps: int) -> Row:
    us = times[key] / steps
    native = runtime == "native"
    return {
        "open_rate": case.rate,
        "switch": case.switch,
        "runtime": runtime,
        "kernel": case.layer.kernel if native else None,
        "steps": steps,
        "us_per_step": round(us, 4),
        "ratio_to_onnx": round(times["onnx"] / times[key], 3),
        "ratio_to_torch": round(times["torch"] / times[key], 3) if "torch" in times else None,
        "roofline_share": round(case.least_us() / us, 3) if native else None,
        "max_error": float(f"{case.max_error():.3g}") if native else None,
    }


def _bench_switches(hidden: int, switch: str, options: KernelBench) -> Row:
    """Time of finding the open neurons of one session's step from a clock."""
    steps, group = 100, GROUPS[switch]
    count = hidden // group
    width = -(-count // 16) * 16
    rng = np.random.default_rng(0)
    table = rng.integers(-255, 256, (2 * _CLOCKS, width)).astype(np.float32)
    threshold = np.full(width, -100_000, np.float32)
    bits = np.zeros((steps, -(-hidden // 16)), np.uint16)
    opened: Float32 = np.zeros(steps, np.float32)
    start, offsets, row = np.array([10**9]), np.array([0, steps]), np.array([0])
    inc = increments(_CLOCKS, 2.0, 200.0)
    nothing: Float32 = np.zeros((steps, 0), np.float32)

    def run() -> None:
        bits[:] = 0
        neuron_bits(
            start, offsets, row, inc, nothing, 0, table, threshold, np.float32(1.0), count, group,
            hidden, bits, opened,
        )  # fmt: skip

    times = interleaved({"clock": run}, rounds=options.rounds, turn_s=options.turn_s)
    us = round(times["clock"] / steps, 4)
    return {"hidden": hidden, "switch": switch, "mode": "clock", "us_per_step": us}


def _drift(hidden: int, switch: str, steps: int) -> Row:
    """Error against float64 over many steps, in chunks of 100."""
    inputs = _inputs(hidden)
    weights = random_weights(inputs, hidden)
    x = np.random.default_rng(3).standard_normal((steps, inputs)).astype(np.float32)
    opened = open_switches(steps, hidden, GROUPS[switch], 0.17, seed=4)
    start: Float32 = np.zeros(hidden, np.float32)
    (exact,) = reference.layer(x, opened, (start,), weights)
    layer = BenchLayer(weights, switch, 0.17, 1)
    worst = 0.0
    for begin in range(0, steps, 100):
        chunk = slice(begin, min(begin + 100, steps))
        out: Float32 = np.zeros((len(x[chunk]), hidden), np.float32)
        logits: Float32 = np.zeros((len(out), 0), np.float32)
        layer.run(words(opened[chunk]), x[chunk], out, logits)
        worst = max(worst, float(np.abs(out - exact[chunk]).max()))
    error = float(f"{worst:.3g}")
    return {"hidden": hidden, "switch": switch, "steps": steps, "max_error": error}
