"""The adding problem (Hochreiter and Schmidhuber 1997): remember two numbers among noise, add them.

Channel 1 is uniform in 0...1, channel 2 marks one frame in each half of the sequence. The answer,
at the last frame, is the sum of the two marked numbers. Always answering 1 has an MSE of 1/6.
"""

from __future__ import annotations

import numpy as np
import torch

from surnn.spec import Head, LayerSpec, ModelSpec, SwitchMode, SwitchSpec
from surnn.tasks.benchmark import Benchmark, Metric, Split, sensor_spec
from surnn.tasks.config import TaskConfig
from surnn.train.config import Budget, LossConfig, Optimiser
from surnn.train.task import Batch

__all__ = ["Adding", "fast", "paper"]


class Adding(Benchmark[TaskConfig]):
    """Two of T numbers, added."""

    name = "adding"
    about = "Sum of two marked numbers among T, answered at the end"

    @property
    def metric(self) -> Metric:
        """Mean squared error."""
        return Metric("MSE", higher_is_better=False, aim=0.01, chance=1 / 6)

    def make_spec(self) -> ModelSpec:
        """Two channels in, one number out."""
        return sensor_spec(
            "adding",
            self.about,
            self.config.layers,
            mean=(0.0, 0.0),
            scale=(1.0, 1.0),
            labels=("sum",),
            head=Head.LINEAR,
        )

    def draw(self, rng: np.random.Generator, split: Split, size: int, length: int) -> Batch:
        """See `Benchmark.draw`."""
        rows = np.arange(size)
        half = length // 2
        frames = np.zeros((size, length, 2), np.float32)
        frames[..., 0] = rng.random((size, length), dtype=np.float32)
        places = (rng.integers(0, half, size), rng.integers(half, length, size))
        targets = np.zeros((size, length, 1), np.float32)
        for place in places:
            frames[rows, place, 1] = 1.0
            targets[:, -1, 0] += frames[rows, place, 0]
        weights = np.zeros((size, length), np.float32)
        weights[:, -1] = 1.0
        return Batch(*(torch.from_numpy(x) for x in (frames, targets, weights)))


def fast() -> TaskConfig:
    """T = 1000 on one core."""
    return TaskConfig(
        layers=(LayerSpec(hidden=64, switch=SwitchSpec(mode=SwitchMode.INPUT, open_rate=0.5)),),
        length=1000,
        budget=Budget(minutes=120, steps=700, batch=64, validate_steps=100),
        optimiser=Optimiser(lr=3e-3, switch_lr=2e-2, average=0.98, weight_decay=0.0),
        loss=LossConfig(open_target=0.05, open_start=0.5, open_anneal=0.5, open_weight=0.5),
    )


def paper() -> TaskConfig:
    """T = 4096 on a GPU."""
    return fast().model_copy(
        update={
            "layers": (
                LayerSpec(hidden=128, switch=SwitchSpec(mode=SwitchMode.INPUT, open_rate=0.5)),
            ),
            "length": 4096,
            "budget": Budget(minutes=600, steps=5000, batch=128, validate_steps=250, device="cuda"),
        }
    )
