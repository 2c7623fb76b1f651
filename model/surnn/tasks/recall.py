"""Recall after silence: a few bits shown once, asked for after up to an hour of nothing.

Channels: the bits, each -1 or 1 in the one frame that shows them, then "store" (1 in that frame),
then "now" (1 in the last frame, where the bits are asked for). All channels carry weak noise
throughout, so silence is never exactly the same. Networks learn on silence of a few seconds; the
figure is the share of right bits there, and the curve goes on to silence they have never heard.

Bits are independent, so that no cell is shut out: one that cannot combine a new input with what it
holds (BMRU, LRU) can still keep them.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from surnn.nn import Network
from surnn.spec import Head, LayerSpec, ModelSpec, SwitchMode, SwitchSpec
from surnn.tasks.benchmark import Benchmark, Metric, Split, sensor_spec
from surnn.tasks.config import TaskConfig
from surnn.tasks.silence import RecallPoint, recall_curve
from surnn.train.config import Budget, LossConfig, Optimiser
from surnn.train.task import Batch
from surnn.types import Float32

__all__ = ["Recall", "RecallConfig", "fast", "paper"]


class RecallConfig(TaskConfig):
    """What is remembered, and for how long it is asked."""

    bits: int = Field(default=8, ge=1)
    noise: float = Field(default=0.02, ge=0, description="Standard deviation on every channel")
    silence: tuple[float, ...] = Field(
        default=(1, 3, 10, 30, 100, 300, 1000, 3600), description="Seconds, ascending"
    )
    silence_sequences: int = Field(default=64, gt=0)


class Recall(Benchmark[RecallConfig]):
    """Bits, held through silence."""

    name = "recall"
    about = "Bits shown in one frame, asked for after silence"

    @property
    def metric(self) -> Metric:
        """Share of right bits."""
        return Metric("accuracy", higher_is_better=True, chance=0.5)

    def make_spec(self) -> ModelSpec:
        """Bits, "store" and "now" in; the bits out."""
        bits = self.config.bits
        return sensor_spec(
            "recall",
            self.about,
            self.config.layers,
            mean=(0.0,) * (bits + 2),
            scale=(1.0,) * (bits + 2),
            labels=[f"b{i}" for i in range(bits)],
            head=Head.SIGMOID,
        )

    def draw(self, rng: np.random.Generator, split: Split, size: int, length: int) -> Batch:
        """The bits come anywhere but in the last frame."""
        bits = self.config.bits
        rows, place = np.arange(size), rng.integers(0, length - 1, size)
        shown = rng.integers(0, 2, (size, bits)).astype(np.float32)
        frames = self._noise(rng, size, length)
        frames[rows, place, :bits] += 2 * shown - 1
        frames[rows, place, bits] += 1
        frames[:, -1, bits + 1] += 1
        targets = np.zeros((size, length, bits), np.float32)
        targets[:, -1] = shown
        weights = np.zeros((size, length), np.float32)
        weights[:, -1] = 1
        return Batch(*(torch.from_numpy(x) for x in (frames, targets, weights)))

    def remembered(self, network: Network) -> list[RecallPoint]:
        """The curve, for sequences of the test split."""
        config = self.config
        size = config.silence_sequences
        batch = self.draw(np.random.default_rng([Split.TEST, 0]), Split.TEST, size, 20)
        question = Batch(*(x[:, -1:] for x in batch.tensors))
        return recall_curve(
            network,
            batch.frames[:, :-1],
            question,
            lambda frames, rng: self._noise(rng, size, frames),
            config.silence,
        )

    def _noise(self, rng: np.random.Generator, size: int, length: int) -> Float32:
        shape = (size, length, self.config.bits + 2)
        return np.float32(self.config.noise) * rng.standard_normal(shape, dtype=np.float32)


def fast() -> RecallConfig:
    """One core, minutes: learns on up to two seconds of silence."""
    switch = SwitchSpec(mode=SwitchMode.INPUT, open_rate=0.5)
    return RecallConfig(
        layers=(LayerSpec(hidden=64, switch=switch),),
        length=200,
        curriculum=((0.0, 20), (0.2, 50), (0.4, 100), (0.6, 200)),
        budget=Budget(minutes=60, steps=1500, batch=64, validate_steps=250),
        optimiser=Optimiser(lr=5e-3, switch_lr=2e-2, average=0.99, weight_decay=0.0),
        loss=LossConfig(open_target=0.0, open_weight=0.1),
    )


def paper() -> RecallConfig:
    """A GPU: learns on up to 20 seconds."""
    return fast().model_copy(
        update={
            "length": 2000,
            "curriculum": ((0.0, 20), (0.2, 200), (0.5, 2000)),
            "budget": Budget(
                minutes=600, steps=10_000, batch=128, validate_steps=500, device="cuda"
            ),
        }
    )
