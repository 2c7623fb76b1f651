"""A model that needs no training: small, exact, and sensitive to order and to lost samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import settings

from surnn.errors import InvalidShape
from surnn.model import Model
from surnn.runtimes.base import FrameBlock, Runtime
from surnn.spec import (
    EventRule,
    Head,
    LayerSpec,
    LogMelFrontEnd,
    ModelKind,
    ModelSpec,
    ScaleFrontEnd,
)
from surnn.state import Slot, StatePool
from surnn.types import Float32

RATE = 16_000

# A shared machine may stall any example; the properties are about values, not time.
settings.register_profile("surnn", deadline=None)
settings.load_profile("surnn")


class FakeRuntime:
    """Loudness as logits. Frame by frame, so that no result depends on batch or chunk."""

    name = "fake"
    atomic = False
    fingerprint = "fake"

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.batches: list[int] = []
        """Size of every batch that was run."""

    def new_pool(self, capacity: int) -> StatePool:
        return StatePool(self.spec.states, capacity)

    def run(
        self, pool: StatePool, slots: Sequence[Slot], frames: Sequence[Float32]
    ) -> list[FrameBlock]:
        for item in frames:
            if item.ndim != 2 or item.shape[1] != self.spec.frame_size:
                raise InvalidShape(f"frames are {list(item.shape)}")
        self.batches.append(len(slots))
        states = pool.gather(slots)
        blocks = [self._session(states, row, item) for row, item in enumerate(frames)]
        pool.scatter(slots, states)
        return blocks

    def _session(self, states: dict[str, np.ndarray], row: int, frames: Float32) -> FrameBlock:
        logits = np.zeros((len(frames), len(self.spec.labels)), np.float32)
        opened = np.zeros((len(frames), len(self.spec.layers)), np.float32)
        for i, frame in enumerate(frames):
            t = int(states["t"][row])
            logits[i] = self._logits(states, row, frame)
            opened[i] = [(t * 7 + n) % (s.hidden + 1) for n, s in enumerate(self.spec.layers)]
            # Order matters: the same frames in another order leave another state.
            states["h0"][row] = np.float32(0.5) * states["h0"][row] + logits[i, 0]
            states["t"][row] = t + 1
        return FrameBlock(logits, opened)

    def _logits(self, states: dict[str, np.ndarray], row: int, frame: Float32) -> Float32:
        if self.spec.kind is ModelKind.SENSOR:
            return frame
        window = np.concatenate([states["context"][row], frame])
        states["context"][row] = window[self.spec.hop :]
        power = float(np.mean(np.square(window, dtype=np.float64)))
        return np.array([4.0 * (math.log10(power + 1e-10) + 3.0)], np.float32)


@pytest.fixture(scope="session")
def audio_spec() -> ModelSpec:
    """16 kHz, 10 ms hop, one label, two layers of 4 and 6 neurons."""
    return ModelSpec(
        name="loud",
        kind=ModelKind.AUDIO,
        sample_rate=RATE,
        hop=160,
        frontend=LogMelFrontEnd(),
        layers=(LayerSpec(hidden=4), LayerSpec(hidden=6)),
        labels=("speech",),
        head=Head.SIGMOID,
        events=(EventRule(label="speech", min_on=0.03, min_off=0.05),),
    )


@pytest.fixture(scope="session")
def sensor_spec() -> ModelSpec:
    """50 Hz, three channels, whose values are the logits of three exclusive labels."""
    rules = tuple(EventRule(label=name, min_on=0.04, min_off=0.04) for name in "abc")
    return ModelSpec(
        name="tilt",
        kind=ModelKind.SENSOR,
        sample_rate=50,
        hop=1,
        channels=3,
        frontend=ScaleFrontEnd(mean=(0.0, 0.0, 0.0), scale=(1.0, 1.0, 1.0)),
        layers=(LayerSpec(hidden=5),),
        labels=("a", "b", "c"),
        head=Head.SOFTMAX,
        events=rules,
    )


@pytest.fixture(scope="session")
def make_runtime() -> Callable[[ModelSpec], Runtime]:
    """A fake runtime for a spec; its `batches` tell how it was called."""
    return FakeRuntime


@pytest.fixture(scope="session")
def audio_model(audio_spec: ModelSpec) -> Model:
    return Model(FakeRuntime(audio_spec))


@pytest.fixture(scope="session")
def sensor_model(sensor_spec: ModelSpec) -> Model:
    return Model(FakeRuntime(sensor_spec))


@pytest.fixture(scope="session")
def bursts() -> Callable[..., Float32]:
    """A recording at any rate: quiet noise, with a loud tone in each (start, end) in seconds."""

    def make(seconds: float, *spans: tuple[float, float], rate: int = RATE) -> Float32:
        time = np.arange(round(seconds * rate)) / rate
        noise = np.random.default_rng(round(seconds * 1000)).standard_normal(len(time))
        samples = 1e-4 * noise
        for start, end in spans:
            inside = (time >= start) & (time < end)
            samples[inside] += 0.3 * np.sin(2 * np.pi * 440 * time[inside])
        return samples.astype(np.float32)

    return make


@pytest.fixture
def wav(tmp_path: Path) -> Callable[..., Path]:
    """Write samples as an audio file in a folder of this test's own."""

    def make(name: str, samples: np.ndarray, rate: int = RATE, **options: str) -> Path:
        path = tmp_path / name
        soundfile.write(path, samples, rate, **options)
        return path

    return make
