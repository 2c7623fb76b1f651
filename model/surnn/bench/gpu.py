"""`surnn bench gpu`: one layer on a GPU against cuDNN's GRU and torch's step loop, then streams.

Every contestant has the same weights and inputs; what our kernels compute is checked against
float64 first, and what they write is counted on the device. Times are medians over interleaved
turns between CUDA events. A dry run does everything but measure, on the CPU in Triton's
interpreter: it shows that the bench works, and gives no figures.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from surnn.bench.machine import describe
from surnn.bench.patterns import GROUPS, open_switches
from surnn.errors import InvalidConfig
from surnn.kernels.device.linear import plain
from surnn.kernels.device.reference import chunk_reference
from surnn.kernels.device.resident import fits, resident_chunk
from surnn.kernels.device.tiled import list_open, tiled_chunk
from surnn.model import locate
from surnn.nn.sequence import forward_loop
from surnn.runtimes.cuda import CudaRuntime
from surnn.runtimes.device_stack import FusedGRU
from surnn.types import Float32

__all__ = ["GpuBench", "bench_gpu"]

Row = dict[str, object]
Work = Callable[[], object]

_PATTERN = 997
"""Frames of the pattern; each session begins somewhere else in it."""
_CHECKED = 8
"""Sessions that are compared with float64."""


@dataclass(frozen=True)
class GpuBench:
    """What is to be measured."""

    hidden: Sequence[int] = (128, 256, 512)
    batch: Sequence[int] = (1, 64, 1024, 16_384)
    open_rate: Sequence[float] = (0.05, 0.17, 0.5)
    switch: Sequence[str] = ("neuron", "group16")
    steps: int = 10
    inputs: int = 64
    rounds: int = 15
    device: str = "cuda"
    model: str = "vad"
    streams: Sequence[int] = (1, 64, 1024, 10_000, 50_000, 100_000, 200_000)
    calls: int = 300
    """Of the model, for each number of streams."""
    dry_run: bool = False

    @classmethod
    def dry(cls) -> GpuBench:
        """Small enough for the interpreter."""
        return cls(
            hidden=(20,), batch=(3,), open_rate=(0.17,), steps=2, inputs=4, device="cpu",
            model="activity", streams=(2,), calls=1, dry_run=True,
        )  # fmt: skip


def bench_gpu(
    options: GpuBench, progress: Callable[[str], None] = lambda line: None
) -> dict[str, object]:
    """Measure everything, or only run it. Raises `InvalidConfig` without a GPU."""
    if not options.dry_run and not torch.cuda.is_available():
        raise InvalidConfig(
            "torch finds no CUDA device, expected one; --dry-run checks the bench without"
        )
    rows = []
    for hidden in options.hidden:
        for batch in options.batch:
            progress(f"hidden {hidden}, batch {batch}")
            for rate in options.open_rate:
                for switch in options.switch:
                    if hidden % GROUPS[switch] == 0:
                        rows += _layer(hidden, batch, rate, switch, options)
    progress("streams")
    result: dict[str, object] = {
        "benchmark": "gpu",
        "dry_run": options.dry_run,
        "machine": describe(),
        "device": None if options.dry_run else torch.cuda.get_device_name(options.device),
        "rows": rows,
        "streams": [_streams(count, options) for count in options.streams],
    }
    if not options.dry_run:
        result["roof"] = _roof(options.device)
        result["sustained_streams"] = max(
            (r["streams"] for r in result["streams"] if r["sustained"]),  # type: ignore[attr-defined]
            default=0,
        )
    return result


class _Case:
    """One layer's chunk: weights, inputs, switches, and everyone who can run it."""

    def __init__(self, hidden: int, batch: int, rate: float, switch: str, o: GpuBench) -> None:
        rng = torch.Generator().manual_seed(0)
        bound = hidden**-0.5

        def uniform(*shape: int) -> Tensor:
            numbers: Tensor = (torch.rand(shape, generator=rng) * 2 - 1) * bound
            return numbers.to(o.device)

        self.options, self.hidden, self.batch, self.group = o, hidden, batch, GROUPS[switch]
        self.weights = (
            uniform(3 * hidden, o.inputs), uniform(3 * hidden, hidden), uniform(3 * hidden),
            uniform(hidden),
        )  # fmt: skip
        self.x = torch.randn(batch, o.steps, o.inputs, generator=rng).to(o.device)
        pattern = open_switches(_PATTERN, hidden, self.group, rate)[:, :: self.group]
        begin = torch.arange(batch) * 31 % _PATTERN
        at = (begin[:, None] + torch.arange(o.steps)) % _PATTERN
        self.opened = torch.from_numpy(pattern).to(torch.uint8)[at].to(o.device)
        self.pool = (torch.rand(batch, hidden, generator=rng) * 2 - 1).to(o.device)
        self.rows = torch.randperm(batch, generator=rng).to(o.device)
        self.lengths = torch.full((batch,), o.steps, dtype=torch.int32, device=o.device)
        self.out = torch.zeros(batch, o.steps, hidden, device=o.device)
        self.room = torch.empty(batch, hidden, device=o.device)
        self.projected = torch.empty(batch * o.steps, 3 * hidden, device=o.device)

    @property
    def open_neurons(self) -> int:
        return int(self.opened.sum()) * self.group

    def ours(self) -> dict[str, Callable[[Tensor | None], object]]:
        """Our kernels; each takes where to count what it writes."""
        wx, wh, bx, bh = self.weights
        half = (wx.half(), wh.half(), bx, bh)
        found: dict[str, Callable[[Tensor | None], object]] = {
            "tiled ieee": lambda count: self._tiled(self.weights, "ieee", count),
            "tiled tf32x3": lambda count: self._tiled(self.weights, "tf32x3", count),
            "tiled float16 tf32x3": lambda count: self._tiled(half, "tf32x3", count),
        }
        if fits(self.hidden, torch.float32):
            found["resident ieee"] = lambda count: self._resident(self.weights, count)
        if fits(self.hidden, torch.float16):
            found["resident float16"] = lambda count: self._resident(half, count)
        return found

    def _tiled(self, weights: tuple[Tensor, ...], precision: str, count: Tensor | None) -> object:
        wx, wh, bx, bh = weights
        return tiled_chunk(
            self.pool, self.rows, self.lengths, self.x, self.opened, (wx, wh, bx, bh), self.room,
            self.out, precision=precision, written=count,
        )  # fmt: skip

    def in_step(self) -> Work:
        """The tiled kernel where all sessions share session 0's clock."""
        shared = list_open(self.opened[0], self.hidden)
        opened = self.opened[:1].expand_as(self.opened).contiguous()
        return lambda: tiled_chunk(
            self.pool, self.rows, self.lengths, self.x, opened, self.weights, self.room, self.out,
            shared=shared,
        )  # fmt: skip

    def _resident(self, weights: tuple[Tensor, ...], count: Tensor | None) -> object:
        wx, wh, bx, bh = weights
        plain(self.x.view(-1, self.x.shape[-1]), wx, bx, self.projected)
        projected = self.projected.view(self.batch, self.options.steps, -1)
        return resident_chunk(
            self.pool, self.rows, self.lengths, projected, self.opened, wh, bh, self.out,
            written=count,
        )  # fmt: skip

    def peers(self) -> dict[str, Work]:
        """cuDNN's GRU in three forms, and suGRU step by step with torch's operations.

        `cudnn` is what torch gives by default, with products in TF32; `cudnn fused` computes what
        we do, with the switches as further inputs.
        """
        wx, wh, bx, bh = self.weights
        gru = nn.GRU(self.options.inputs, self.hidden, batch_first=True).to(self.options.device)
        names = ("weight_x", "weight_h", "bias_x", "bias_h")
        host = {name: w.cpu() for name, w in zip(names, self.weights, strict=True)}
        fused = FusedGRU(host).to(self.options.device)
        h0 = self.pool[self.rows]
        gates = self.opened.repeat_interleave(self.group, dim=-1).float()
        by_step = gates.transpose(0, 1).contiguous()

        def cudnn() -> object:
            return gru(self.x, h0[None])

        def float32() -> object:
            with torch.backends.cudnn.flags(allow_tf32=False):
                return gru(self.x, h0[None])

        def steps() -> object:
            x = nn.functional.linear(self.x, wx, bx).transpose(0, 1)
            return forward_loop(x, by_step, h0, wh, bh)

        return {
            "cudnn": cudnn,
            "cudnn float32": float32,
            "cudnn fused": lambda: fused(self.x, gates, (h0,)),
            "torch steps": steps,
        }

    def error(self, run: Callable[[Tensor | None], object], *, half: bool) -> tuple[float, int]:
        """Largest difference from float64 over some sessions, and what was written."""
        before = self.pool.clone()
        written = torch.zeros(1, dtype=torch.int64, device=self.pool.device)
        run(written)
        wx, wh, bx, bh = self.weights
        weights = (wx.half().float(), wh.half().float(), bx, bh) if half else self.weights
        some = slice(0, _CHECKED)
        _, states = chunk_reference(
            before, self.rows[some], self.lengths[some], self.x[some], self.opened[some], weights
        )
        worst = float((self.out[some].cpu() - states).abs().max())
        self.pool.copy_(before)
        return worst, int(written)


@torch.no_grad()
def _layer(hidden: int, batch: int, rate: float, switch: str, options: GpuBench) -> list[Row]:
    case = _Case(hidden, batch, rate, switch, options)
    checks = {name: case.error(run, half="float16" in name) for name, run in case.ours().items()}
    work: dict[str, Work] = {
        name: lambda run=run: run(None)  # type: ignore[misc]
        for name, run in case.ours().items()
    }
    work |= {"tiled in step": case.in_step()} | case.peers()
    times: dict[str, float] = {}
    if options.dry_run:
        for run in work.values():
            run()
    else:
        times = _interleaved(work, options.rounds)
    possible = batch * options.steps * hidden
    rows = []
    for name in work:
        row: Row = {
            "hidden": hidden, "batch": batch, "open_rate": rate, "switch": switch, "runtime": name,
            "steps": options.steps,
        }  # fmt: skip
        if name in checks:
            worst, written = checks[name]
            row |= {
                "max_error": float(f"{worst:.3g}"),
                "state_bytes_written": 4 * written,
                "state_bytes_open": 4 * case.open_neurons,
                "state_bytes_dense": 4 * possible,
            }
        if name in times:
            row |= {
                "us_per_chunk": round(times[name], 2),
                "us_per_step": round(times[name] / options.steps, 3),
                "ratio_to_cudnn": round(times["cudnn"] / times[name], 3),
                "ratio_to_torch_steps": round(times["torch steps"] / times[name], 3),
                "gbytes_per_s": round(_least_bytes(case) / times[name] / 1000, 1),
                "tflops": round(_open_flops(case) / times[name] / 1e6, 3),
            }
        rows.append(row)
    return rows


def _least_bytes(case: _Case) -> int:
    """What no kernel can avoid: inputs, open states once in and once out, outputs, weights."""
    numbers = case.x.numel() + case.pool.numel() + case.open_neurons + case.out.numel()
    numbers += sum(w.numel() for w in case.weights)
    return 4 * numbers + case.opened.numel()


def _open_flops(case: _Case) -> int:
    """Multiplications and additions of the open neurons' products."""
    return 2 * 3 * (case.hidden + case.x.shape[-1]) * case.open_neurons


def _interleaved(work: dict[str, Work], rounds: int) -> dict[str, float]:
    """Median microseconds of a call of each, in turns."""
    calls = 5
    for run in work.values():
        for _ in range(3):
            run()
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, run in work.items():
            begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            begin.record()
            for _ in range(calls):
                run()
            end.record()
            end.synchronize()
            times[name].append(begin.elapsed_time(end) * 1000 / calls)
    return {name: statistics.median(values) for name, values in times.items()}


def _roof(device: str) -> Row:
    """What this device reaches: copies within its memory, and float32 and TF32 products."""
    a = torch.empty(1 << 28, device=device)
    b = torch.empty_like(a)
    m = torch.randn(8192, 8192, device=device)
    work: dict[str, Work] = {"copy": lambda: b.copy_(a), "matmul": lambda: m @ m}
    times = _interleaved(work, 7)
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        times["tf32"] = _interleaved({"tf32": lambda: m @ m}, 7)["tf32"]
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    return {
        "copy_gbytes_per_s": round(2 * a.nbytes / times["copy"] / 1000, 1),
        "float32_tflops": round(2 * 8192**3 / times["matmul"] / 1e6, 1),
        "tf32_tflops": round(2 * 8192**3 / times["tf32"] / 1e6, 1),
    }


def _streams(count: int, options: GpuBench) -> Row:
    """One frame of each of so many streams in a call, as every hop brings it; array to array."""
    runtime = CudaRuntime.open(locate(options.model).parent, options.device)
    spec = runtime.spec
    pool = runtime.new_pool(count)
    rows = pool.rows([pool.acquire() for _ in range(count)])
    level = np.float32(0.05)
    rng = np.random.default_rng(0)
    noise: Float32 = rng.standard_normal((count, 1, spec.frame_size), np.float32) * level
    lengths = np.ones(count, np.int64)
    took: list[float] = []
    for _ in range(options.calls + (0 if options.dry_run else 10)):
        began = time.perf_counter()
        runtime.compute(pool, rows, noise, lengths)
        took.append((time.perf_counter() - began) * 1000)
    row: Row = {"streams": count, "model": spec.name, "hop_ms": 1000 / spec.frame_rate}
    if options.dry_run:
        return row
    measured = sorted(took[10:])
    mean, p99 = statistics.mean(measured), measured[int(0.99 * (len(measured) - 1))]
    # In real time means that the next hop finds the last one done, on average; late is above 20.
    sustained = mean < 1000 / spec.frame_rate and p99 < 20.0
    return row | {
        "mean_ms": round(mean, 3), "p99_ms": round(p99, 3), "sustained": sustained,
    }  # fmt: skip
