"""What a task is: batches to learn from, sequences to validate and to test on, and one figure.

All data comes from seeded generators: batch number n is the same whenever and in whatever order it
is asked for. Validation and test sequences do not depend on the run's seed, so that runs compare.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from surnn.nn import Network
from surnn.spec import Head, LayerSpec, ModelKind, ModelSpec, ScaleFrontEnd
from surnn.tasks.config import TaskConfig
from surnn.tasks.measure import Measured, measure
from surnn.tasks.silence import RecallPoint
from surnn.train.switching import switch_health
from surnn.train.task import Batch, Report
from surnn.types import Float32, Int64

__all__ = ["Benchmark", "Metric", "Split", "classes", "one_hot", "sensor_spec"]

HELD_OUT_BATCH = 64
"""Sequences that are measured together."""


class Split(IntEnum):
    """Whom sequences are for; the number seeds their generator."""

    TRAIN = 0
    VALID = 1
    TEST = 2


@dataclass(frozen=True, slots=True)
class Metric:
    """The figure of a task."""

    name: str
    higher_is_better: bool
    aim: float | None = None
    """What this project set out to reach."""
    chance: float | None = None
    """What a model reaches that does not listen."""

    def reached(self, value: float) -> bool | None:
        """Was the aim reached? None: there is none."""
        if self.aim is None:
            return None
        return value >= self.aim if self.higher_is_better else value < self.aim


C = TypeVar("C", bound=TaskConfig)


class Benchmark(ABC, Generic[C]):
    """A task with its settings. Fits `surnn.train.task.Task`, so the one training loop runs it."""

    name: ClassVar[str]
    about: ClassVar[str]
    """One line for the table of results."""

    def __init__(self, config: C) -> None:
        self.config = config
        self.spec = self.make_spec()

    @property
    @abstractmethod
    def metric(self) -> Metric:
        """The figure, with its aim for these settings."""

    @abstractmethod
    def make_spec(self) -> ModelSpec:
        """The spec of the model to train: what is trained can be served."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, split: Split, size: int, length: int) -> Batch:
        """`size` sequences of `length` frames."""

    def held_out(self, split: Split) -> Iterator[Batch]:
        """All sequences of validation or test, in batches."""
        count = self.config.valid_sequences if split is Split.VALID else self.config.test_sequences
        for number, start in enumerate(range(0, count, HELD_OUT_BATCH)):
            rng = np.random.default_rng([split, number])
            yield self.draw(rng, split, min(HELD_OUT_BATCH, count - start), self.config.length)

    def batch(self, number: int) -> Batch:
        """The training batch of this number: always the same one, from any thread."""
        rng = np.random.default_rng([Split.TRAIN, self.config.seed, number])
        length = self.config.training_length(number)
        return self.draw(rng, Split.TRAIN, self.config.budget.batch, length)

    def figure(self, mean: float) -> float:
        """The figure of the task from the mean over frames (see `surnn.tasks.measure.score`)."""
        return mean

    def measure(self, network: Network, split: Split) -> Measured:
        """The figure and the open rates of a network on held-out sequences."""
        random_start = self.config.budget.random_start
        found = measure(network, self.held_out(split), random_start=random_start)
        return replace(found, value=self.figure(found.value))

    def remembered(self, network: Network) -> list[RecallPoint]:
        """Recall against the length of silence, for tasks that ask for it."""
        return []

    def validate(self, network: Network, *, final: bool = False) -> Report:
        """How good the network is on the validation sequences."""
        found = self.measure(network, Split.VALID)
        health = switch_health(self.spec.layers, found.rates)[0]
        return Report(
            score=found.value if self.metric.higher_is_better else -found.value,
            summary=f"{self.metric.name} {found.value:.4f}, open {found.open_rate:.3f}",
            figures={
                self.metric.name: found.value,
                "open_rate": found.layer_rates,
                "switches": [h.figures() if h else None for h in health],
            },
            neuron_rates=found.rates,
        )

    def finished_spec(self, network: Network, report: Report) -> ModelSpec:
        """The spec as it is: there is nothing to choose."""
        return network.spec

    def licences(self) -> list[dict[str, str]]:
        """No recordings: the data is generated, unless a task says otherwise."""
        return []

    def record(self) -> None:
        """Nothing was divided."""


def sensor_spec(
    name: str,
    about: str,
    layers: Sequence[LayerSpec],
    *,
    mean: Sequence[float],
    scale: Sequence[float],
    labels: Sequence[str],
    head: Head,
) -> ModelSpec:
    """A model of a sensor with so many channels; one sequence element is one frame."""
    return ModelSpec(
        name=name,
        kind=ModelKind.SENSOR,
        description=about,
        sample_rate=100,
        hop=1,
        channels=len(mean),
        frontend=ScaleFrontEnd(mean=tuple(mean), scale=tuple(scale)),
        layers=tuple(layers),
        labels=tuple(labels),
        head=head,
        licence="Apache-2.0",
    )


def one_hot(ids: Int64, width: int) -> Tensor:
    """float32 [B, T, width] of numbers [B, T]."""
    return torch.nn.functional.one_hot(torch.from_numpy(ids), width).float()


def classes(frames: Tensor, labels: Int64, weights: Float32, count: int) -> Batch:
    """A batch whose targets are classes [B, T], counted where weights [B, T] are not 0."""
    return Batch(frames, one_hot(labels, count), torch.from_numpy(weights))
