"""What the training loop asks of a task: batches to learn from, and a report on held-out data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from surnn.dataset.record import DataRecord
from surnn.nn import Network
from surnn.spec import ModelSpec
from surnn.types import Float32, Int64

__all__ = ["Batch", "Example", "Report", "Task"]


@dataclass(frozen=True, slots=True)
class Batch:
    """B clips of T frames."""

    frames: Tensor
    """Input [B, T, S]."""
    targets: Tensor
    """1 where a label holds [B, T, C]; for a linear head the numbers to be estimated."""
    weights: Tensor
    """How much each frame counts [B, T]: 0 beside label edges, in padding and at the start."""
    quiet: Tensor | None = None
    """1 where switches should be shut [B, T]; None: where no label holds."""

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(x.to(device) for x in self.tensors))

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Frames, targets and weights."""
        return self.frames, self.targets, self.weights


@dataclass(frozen=True, slots=True)
class Example:
    """One held-out stream with everything the model did in it, for the raster plot."""

    title: str
    frame_rate: float
    signal: Float32
    """Drawn above the raster [n]; any number of samples a frame."""
    signal_unit: str
    labels: tuple[str, ...]
    truth: Float32
    """[T, C]"""
    probs: Float32
    """[T, C]"""
    gates: list[Float32]
    """Per layer [T, switches]."""


@dataclass(slots=True)
class Report:
    """How good a network is on held-out data."""

    score: float
    """Higher is better: chooses the checkpoint that is kept."""
    summary: str
    """A few words for the progress line."""
    figures: dict[str, object]
    """Everything measured, ready for JSON."""
    threshold: float = 0.5
    thresholds: dict[str, float] = field(default_factory=dict)
    """Of single labels, where each has its own."""
    curves: dict[str, tuple[Float32, NDArray[np.bool_]]] = field(default_factory=dict)
    """Scores and truth, by name, for ROC curves."""
    neuron_rates: list[Float32] = field(default_factory=list)
    """Per layer the share of frames in which each switch was open."""
    example: Example | None = None
    confusion: tuple[tuple[str, ...], Int64] | None = None
    """Labels and how often each (row) was called each (column)."""


class Task(Protocol):
    """One kind of training."""

    spec: ModelSpec

    def batch(self, number: int) -> Batch:
        """The batch of this number: always the same one, from any thread."""
        ...

    def validate(self, network: Network, *, final: bool = False) -> Report:
        """Measure a network on held-out data; `final` adds what only the end report shows."""
        ...

    def finished_spec(self, network: Network, report: Report) -> ModelSpec:
        """The spec with threshold and event rules chosen on held-out data."""
        ...

    def licences(self) -> list[dict[str, str]]:
        """The data that was used: rows for the model card."""
        ...

    def record(self) -> DataRecord | None:
        """How the data were read and divided; None where the config lists the sets."""
        ...
