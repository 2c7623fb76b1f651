"""`surnn bench features`: the log-mel front end, compiled against FFTs from libraries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from surnn.bench.machine import describe
from surnn.bench.timing import interleaved
from surnn.features import build_features
from surnn.frontend import LOG_FLOOR, hann_window, log_mel, mel_matrix
from surnn.spec import Head, LayerSpec, LogMelFrontEnd, ModelKind, ModelSpec
from surnn.types import Float32

__all__ = ["FeatureBench", "bench_features"]

Row = dict[str, object]
Transform = Callable[[Float32], np.ndarray]


@dataclass(frozen=True)
class FeatureBench:
    """What is to be measured: sessions, and frames in a chunk."""

    sizes: Sequence[tuple[int, int]] = ((1, 2), (1, 10), (1, 100), (64, 2), (64, 10))
    rounds: int = 9
    turn_s: float = 0.015


def bench_features(options: FeatureBench) -> dict[str, object]:
    """Microseconds per second of audio and session, 40 bands, 10 ms hop at 16 kHz."""
    spec = ModelSpec(
        name="bench",
        kind=ModelKind.AUDIO,
        sample_rate=16_000,
        hop=160,
        frontend=LogMelFrontEnd(),
        layers=(LayerSpec(hidden=16),),
        labels=("a",),
        head=Head.SIGMOID,
    )
    rows = []
    for sessions, frames in options.sizes:
        rows += _bench_size(spec, sessions, frames, options)
    return {"benchmark": "features", "machine": describe(), "rows": rows}


def _bench_size(spec: ModelSpec, sessions: int, frames: int, options: FeatureBench) -> list[Row]:
    rng = np.random.default_rng(0)
    samples = (rng.standard_normal((sessions * frames, spec.hop)) * 0.1).astype(np.float32)
    compiled = build_features(spec)
    offsets = np.arange(sessions + 1, dtype=np.int64) * frames
    slots = np.arange(sessions, dtype=np.int64)
    context: Float32 = np.zeros((sessions, spec.context), np.float32)
    exact, _ = log_mel(spec, samples[:frames], context[0])
    work: dict[str, Callable[[], Float32]] = {
        "native": lambda: compiled(samples, offsets, slots, context)
    }
    transforms: dict[str, Transform] = {"numpy": lambda x: np.fft.rfft(x, 512)}
    if find_spec("scipy"):
        import scipy.fft

        transforms["scipy"] = lambda x: scipy.fft.rfft(x, 512, overwrite_x=True)
    library = _Library(spec)
    for name, transform in transforms.items():
        work[name] = lambda t=transform: library(t, samples, context)  # type: ignore[misc]
    errors = {}
    for name, function in work.items():
        context[:] = 0
        errors[name] = float(f"{np.abs(function()[:frames] - exact).max():.3g}")
    times = interleaved(work, rounds=options.rounds, turn_s=options.turn_s)
    seconds = sessions * frames * spec.hop / spec.sample_rate
    return [
        {
            "sessions": sessions,
            "chunk_ms": frames * 10,
            "runtime": name,
            "us_per_audio_second": round(us / seconds, 1),
            "ratio": round(times["numpy"] / us, 2),
            "max_error": errors[name],
        }
        for name, us in times.items()
    ]


class _Library:
    """The front end with a library's FFT, float32, all sessions in one call."""

    def __init__(self, spec: ModelSpec) -> None:
        front = spec.frontend
        assert isinstance(front, LogMelFrontEnd)
        self._front, self._hop = front, spec.hop
        self._window = hann_window(spec).astype(np.float32)
        self._bands = mel_matrix(spec).astype(np.float32)

    def __call__(self, transform: Transform, samples: Float32, context: Float32) -> Float32:
        joined = np.concatenate([context, samples.reshape(len(context), -1)], axis=1)
        windows = np.lib.stride_tricks.sliding_window_view(joined, len(self._window), axis=1)
        windows = windows[:, :: self._hop]
        spectrum = transform((windows - windows.mean(axis=-1, keepdims=True)) * self._window)
        energy = (spectrum.real**2 + spectrum.imag**2) @ self._bands
        log = np.log(energy + np.float32(LOG_FLOOR))
        features = (log + np.float32(self._front.offset)) * np.float32(self._front.scale)
        flat: Float32 = features.reshape(len(samples), -1).astype(np.float32)
        return flat
