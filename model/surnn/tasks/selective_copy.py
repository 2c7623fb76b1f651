"""Selective copy (Gu and Dao 2023): a few symbols scattered over blank frames, repeated at the end.

Channels are one-hot: the symbols, then blank, then "now". The last `count` frames say "now", and
there the symbols are asked for in the order in which they came. The figure is the accuracy of
single symbols.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from surnn.spec import Head, LayerSpec, ModelSpec, SwitchMode, SwitchSpec
from surnn.tasks.benchmark import Benchmark, Metric, Split, classes, one_hot, sensor_spec
from surnn.tasks.config import TaskConfig
from surnn.train.config import Budget, LossConfig, Optimiser
from surnn.train.task import Batch

__all__ = ["SelectiveCopy", "SelectiveCopyConfig", "fast", "paper"]


class SelectiveCopyConfig(TaskConfig):
    """How much there is to remember."""

    symbols: int = Field(default=8, ge=2, description="Different symbols")
    count: int = Field(default=8, ge=1, description="Symbols in one sequence")

    @model_validator(mode="after")
    def _fits(self) -> SelectiveCopyConfig:
        shortest = min([self.length, *(frames for _, frames in self.curriculum)])
        if shortest < 2 * self.count:
            raise ValueError(
                f"a sequence of {shortest} frames cannot hold {self.count} symbols twice"
            )
        return self


class SelectiveCopy(Benchmark[SelectiveCopyConfig]):
    """Symbols scattered over T frames, repeated in order."""

    name = "selective-copy"
    about = "Symbols scattered over T frames, repeated in order at the end"

    @property
    def metric(self) -> Metric:
        """Accuracy of single symbols."""
        return Metric("accuracy", higher_is_better=True, aim=0.97, chance=1 / self.config.symbols)

    def make_spec(self) -> ModelSpec:
        """One-hot in, one of the symbols out."""
        symbols = self.config.symbols
        return sensor_spec(
            "selective-copy",
            self.about,
            self.config.layers,
            mean=(0.0,) * (symbols + 2),
            scale=(1.0,) * (symbols + 2),
            labels=[f"s{i}" for i in range(symbols)],
            head=Head.SOFTMAX,
        )

    def draw(self, rng: np.random.Generator, split: Split, size: int, length: int) -> Batch:
        """See `Benchmark.draw`."""
        symbols, count = self.config.symbols, self.config.count
        blank, now = symbols, symbols + 1
        ids = np.full((size, length), blank)
        sent = rng.integers(0, symbols, (size, count))
        # The places of the smallest random numbers: a choice without repetition in every row.
        chance = rng.random((size, length - count))
        places = np.sort(np.argpartition(chance, count - 1, axis=1)[:, :count], axis=1)
        np.put_along_axis(ids, places, sent, axis=1)
        ids[:, -count:] = now
        labels = np.zeros((size, length), np.int64)
        labels[:, -count:] = sent
        weights = np.zeros((size, length), np.float32)
        weights[:, -count:] = 1.0
        return classes(one_hot(ids, symbols + 2), labels, weights, symbols)


def fast() -> SelectiveCopyConfig:
    """T = 1024 on one core: most is learned on short sequences, where switches learn what to skip.

    A closed switch forgets nothing, so what is learned holds at any length.
    """
    return SelectiveCopyConfig(
        layers=(LayerSpec(hidden=192, switch=SwitchSpec(mode=SwitchMode.INPUT, open_rate=0.5)),),
        length=1024,
        curriculum=((0.0, 32), (0.8, 128), (0.96, 1024)),
        valid_sequences=256,
        test_sequences=1024,
        budget=Budget(minutes=120, steps=2500, batch=64, validate_steps=250),
        optimiser=Optimiser(
            lr=3e-3, switch_lr=1e-2, average=0.99, weight_decay=0.0, orthogonal=True
        ),
        loss=LossConfig(open_target=0.0, open_weight=0.1),
    )


def paper() -> SelectiveCopyConfig:
    """T = 4096 and 16 of 16 symbols on a GPU."""
    fast_ = fast()
    layer = LayerSpec(hidden=256, switch=SwitchSpec(mode=SwitchMode.INPUT, open_rate=0.5))
    return fast_.model_copy(
        update={
            "symbols": 16,
            "count": 16,
            "layers": (layer, layer),
            "length": 4096,
            "curriculum": ((0.0, 64), (0.6, 512), (0.8, 4096)),
            "budget": Budget(
                minutes=600, steps=40_000, batch=64, validate_steps=1000, device="cuda"
            ),
        }
    )
