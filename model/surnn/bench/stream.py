"""`surnn bench stream`: PCM in, events out, one stream on one core, against other detectors.

Each detector gets the same PCM in chunks; what counts is everything from bytes to events, in CPU
time. Peers run if they are installed, as their own packages recommend: silero-vad's network
through ONNX Runtime in its fixed chunks of 32 ms, webrtcvad in frames of 30 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from surnn.bench.machine import describe
from surnn.bench.peers import silero_vad, webrtc_vad
from surnn.bench.timing import interleaved
from surnn.model import Model, load

__all__ = ["StreamBench", "bench_stream", "noise_bursts"]

_RATE = 16_000


@dataclass(frozen=True)
class StreamBench:
    """What is to be measured."""

    model: str | Path = "vad"
    pcm: bytes | None = None
    """16 kHz mono PCM, 16 bits; None: bursts of noise."""
    chunk_ms: int = 100
    more_chunks_ms: Sequence[int] = (20, 1000, 10_000)
    rounds: int = 7
    seconds: float = 60.0


def noise_bursts(seconds: float) -> bytes:
    """16-bit PCM whose level changes every second or so: half of it loud."""
    rng = np.random.default_rng(0)
    count = int(seconds * _RATE)
    loud = np.repeat(rng.random(count // _RATE + 1) < 0.5, _RATE)[:count]
    samples = rng.standard_normal(count) * np.where(loud, 3000, 30)
    return np.clip(samples, -32768, 32767).astype("<i2").tobytes()


def bench_stream(options: StreamBench) -> dict[str, object]:
    """Seconds of audio handled in one second of CPU time.

    Raises what `surnn.load` raises.
    """
    pcm = options.pcm or noise_bursts(options.seconds)
    seconds = len(pcm) / 2 / _RATE
    runtimes = ["onnx"]
    if find_spec("numba"):
        runtimes.insert(0, "native")
    models = {name: load(options.model, runtime=name) for name in runtimes}
    work: dict[str, Callable[[], object]] = {}
    sizes = [options.chunk_ms, *options.more_chunks_ms]
    for name, model in models.items():
        for size in sizes:
            work[f"{name} {size}"] = lambda m=model, s=size: _feed(m, pcm, s)  # type: ignore[misc]
    for name, peer in (("silero", silero_vad()), ("webrtcvad", webrtc_vad())):
        if peer is not None:
            work[name] = lambda p=peer: p(pcm)  # type: ignore[misc]
    times = interleaved(work, rounds=options.rounds, turn_s=0.0)
    factors = {name: round(seconds * 1e6 / us, 1) for name, us in times.items()}
    spec = models["onnx"].spec
    return {
        "benchmark": "stream",
        "machine": describe(),
        "model": {"name": spec.name, "version": spec.version, "neurons": spec.neurons},
        "audio_seconds": seconds,
        "chunk_ms": options.chunk_ms,
        "realtime_factor": {
            name.removesuffix(f" {options.chunk_ms}"): factor
            for name, factor in factors.items()
            if " " not in name or name.endswith(f" {options.chunk_ms}")
        },
        "open_rate": [round(rate, 4) for rate in _feed(models[runtimes[0]], pcm, 1000)],
        "rows": [
            {
                "runtime": name,
                "chunk_ms": size,
                "realtime_factor": factors[f"{name} {size}"],
                "us_per_audio_second": round(1e6 / factors[f"{name} {size}"], 1),
            }
            for name in runtimes
            for size in sizes
        ],
    }


def _feed(model: Model, pcm: bytes, chunk_ms: int) -> tuple[float, ...]:
    """One whole stream; its open rates."""
    size = chunk_ms * _RATE // 1000 * 2
    with model.stream(sample_rate=_RATE) as stream:
        for begin in range(0, len(pcm), size):
            stream.feed(pcm[begin : begin + size])
        stream.finish()
        return stream.sparsity.open_rate
