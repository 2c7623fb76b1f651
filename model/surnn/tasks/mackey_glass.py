"""Mackey-Glass: forecast a chaotic series (Mackey and Glass 1977).

    dx/dt = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x(t)

One frame is one unit of time, integrated by Runge-Kutta of fourth order; half way through a step
the delayed value is the mean of its neighbours. At every frame behind the first 100 the value 15
frames later is asked for. The figure is the error's root mean square, in standard deviations of the
series (NRMSE). Every sequence begins from a random past and drops its first 200 frames.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from surnn.spec import Head, LayerSpec, ModelSpec, SwitchMode, SwitchSpec
from surnn.tasks.benchmark import Benchmark, Metric, Split, sensor_spec
from surnn.tasks.config import TaskConfig
from surnn.train.config import Budget, LossConfig, Optimiser
from surnn.train.task import Batch
from surnn.types import Float32

__all__ = ["MackeyGlass", "fast", "integrate", "paper", "series"]

Float64 = NDArray[np.float64]

DELAY = 17
AHEAD = 15
WARM_UP = 100
_DROPPED = 200
_MEAN, _DEVIATION = 0.92, 0.23
"""Of long series, rounded: what the network sees and answers is in these units."""


def series(rng: np.random.Generator, size: int, length: int) -> Float32:
    """`size` series [size, length] from random pasts."""
    past = rng.uniform(0.5, 1.4, size) + rng.uniform(-0.1, 0.1, (DELAY + 1, size))
    return integrate(past, _DROPPED + length)[_DROPPED:].T.astype(np.float32)


def integrate(past: Float64, steps: int) -> Float64:
    """The values [steps, N] that follow on the past [DELAY + 1, N], whose last is the present."""
    x = np.concatenate([past, np.empty((steps, past.shape[1]))])
    for t in range(DELAY, DELAY + steps):
        begin, end = x[t - DELAY], x[t - DELAY + 1]
        first, middle, last = _drive(begin), _drive((begin + end) / 2), _drive(end)
        k1 = first - 0.1 * x[t]
        k2 = middle - 0.1 * (x[t] + k1 / 2)
        k3 = middle - 0.1 * (x[t] + k2 / 2)
        k4 = last - 0.1 * (x[t] + k3)
        x[t + 1] = x[t] + (k1 + 2 * k2 + 2 * k3 + k4) / 6
    return x[DELAY + 1 :]


def _drive(late: Float64) -> Float64:
    return 0.2 * late / (1 + late**10)


class MackeyGlass(Benchmark[TaskConfig]):
    """The value 15 frames ahead, at every frame."""

    name = "mackey-glass"
    about = "Forecast a chaotic series 15 frames ahead, at every frame"

    @property
    def metric(self) -> Metric:
        """Root mean squared error in standard deviations."""
        return Metric("NRMSE", higher_is_better=False, chance=1.0)

    def figure(self, mean: float) -> float:
        """See `Benchmark.figure`."""
        return float(np.sqrt(mean))

    def make_spec(self) -> ModelSpec:
        """The series in, its future in standard deviations out."""
        return sensor_spec(
            self.name,
            self.about,
            self.config.layers,
            mean=(_MEAN,),
            scale=(round(1 / _DEVIATION, 4),),
            labels=("future",),
            head=Head.LINEAR,
        )

    def draw(self, rng: np.random.Generator, split: Split, size: int, length: int) -> Batch:
        """See `Benchmark.draw`."""
        values = series(rng, size, length + AHEAD)
        weights = np.ones((size, length), np.float32)
        weights[:, :WARM_UP] = 0.0
        targets = (values[:, AHEAD:] - _MEAN) / _DEVIATION
        frames = np.ascontiguousarray(values[:, :length])
        return Batch(
            torch.from_numpy(frames)[..., None],
            torch.from_numpy(targets)[..., None],
            torch.from_numpy(weights),
        )


def fast() -> TaskConfig:
    """T = 500 on one core."""
    switch = SwitchSpec(mode=SwitchMode.CLOCK, open_rate=0.17, max_period=100.0)
    return TaskConfig(
        layers=(LayerSpec(hidden=64, switch=switch),),
        length=500,
        valid_sequences=128,
        test_sequences=512,
        budget=Budget(minutes=60, steps=1500, batch=32, validate_steps=250),
        optimiser=Optimiser(lr=5e-3, switch_lr=5e-3, average=0.99, weight_decay=0.0),
        loss=LossConfig(open_weight=0.0),
    )


def paper() -> TaskConfig:
    """T = 5000 on a GPU."""
    config = fast()
    return config.model_copy(
        update={
            "layers": (config.layers[0].model_copy(update={"hidden": 128}),),
            "length": 5000,
            "budget": Budget(
                minutes=600, steps=10_000, batch=64, validate_steps=500, device="cuda"
            ),
        }
    )
