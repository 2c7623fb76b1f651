"""The task behind `machine`: how does a channel of telemetry go on, as long as all is well?

One channel is one stream, so one model serves machines with any number of channels. Each series is
scaled by its own first rows, as it will be when the model is used (see `surnn.anomaly`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from surnn.anomaly import HORIZONS, LIMIT, first_scale
from surnn.dataset.telemetry import Telemetry, read_telemetry
from surnn.errors import InvalidConfig, InvalidInput
from surnn.nn import Network
from surnn.spec import Head, ModelKind, ModelSpec, ScaleFrontEnd
from surnn.train.config import Config
from surnn.train.config_data import MachineConfig
from surnn.train.machine_valid import MachineValidation
from surnn.train.task import Batch, Report
from surnn.types import Float32

__all__ = ["MachineTask"]


class MachineTask:
    """Cuts stretches without anomalies out of the training series."""

    def __init__(self, config: Config, root: Path) -> None:
        assert config.machine is not None
        self.config = config
        self.machine: MachineConfig = config.machine
        model = config.model
        self.spec = ModelSpec(
            name=model.name,
            version=model.version,
            kind=ModelKind.SENSOR,
            description=model.description,
            sample_rate=1,
            hop=1,
            channels=1,
            frontend=ScaleFrontEnd(mean=(0.0,), scale=(1.0,)),
            layers=model.layers,
            labels=tuple(f"ahead_{h}" for h in HORIZONS),
            head=Head.LINEAR,
            licence=model.licence,
        )
        self.frames = round(config.budget.seconds)
        self.series = {
            role: [
                (item, series)
                for item in self.machine.sets
                if item.role == role
                for series in read_telemetry(root / item.folder, item.files)
            ]
            for role in ("train", "valid", "test")
        }
        need = self.machine.rule.warm_up // 4 + self.frames + max(HORIZONS)
        self.calm = [
            piece for _, s in self.series["train"] for piece in _calm(s) if len(piece) > need
        ]
        if not self.calm:
            raise InvalidInput(
                f"{root}: no series for training has {need + 1} rows without an anomaly, "
                "expected some (budget.seconds and rule.warm_up say how many)"
            )
        if not self.series["valid"]:
            raise InvalidConfig("no set has the role 'valid', expected one to choose by")
        self.validation = MachineValidation(self.spec, self.machine, self.series)

    def batch(self, number: int) -> Batch:
        """The batch of this number: always the same one, from any thread."""
        size = self.config.budget.batch
        clips = [self._clip(number * size + i) for i in range(size)]
        frames = np.stack([x for x, _ in clips])[..., None]
        targets = np.stack([y for _, y in clips])
        weights = torch.ones(frames.shape[:2])
        return Batch(torch.from_numpy(frames), torch.from_numpy(targets), weights)

    def _clip(self, number: int) -> tuple[Float32, Float32]:
        """A stretch of one channel [T] and what comes after each row of it [T, horizons]."""
        rng = np.random.default_rng([self.config.seed, number])
        piece = self.calm[int(rng.integers(len(self.calm)))]
        channel = piece[:, int(rng.integers(piece.shape[1]))]
        reach = self.frames + max(HORIZONS)
        start = int(rng.integers(len(channel) - reach + 1))
        # Scaled by rows before it or by its own first ones, as happens in use.
        first = max(0, start - int(rng.integers(self.machine.rule.warm_up)))
        mean, scale = first_scale(channel[first : first + self.machine.rule.warm_up, None])
        stretch = np.clip((channel[start : start + reach] - mean) / scale, -LIMIT, LIMIT)
        stretch = stretch * np.float32(rng.choice([-1.0, 1.0]) * rng.uniform(0.8, 1.25))
        targets = np.stack([stretch[h : h + self.frames] for h in HORIZONS], axis=1)
        return stretch[: self.frames].astype(np.float32), targets.astype(np.float32)

    def validate(self, network: Network, *, final: bool = False) -> Report:
        """The sets' own scores on series kept apart."""
        return self.validation.report(network, final=final)

    def finished_spec(self, network: Network, report: Report) -> ModelSpec:
        """The rule with the threshold that did best on validation series."""
        rule = self.machine.rule.model_copy(update={"on": report.threshold})
        return network.spec.model_copy(update={"anomaly": rule})

    def licences(self) -> list[dict[str, str]]:
        """The data that was used: rows for the model card."""
        return [
            {
                "folder": s.folder,
                "source": s.source,
                "kind": "telemetry",
                "role": s.role,
                "licence": s.licence,
                "part": ", ".join(s.files),
            }
            for s in self.machine.sets
        ]

    def record(self) -> None:
        """The config says what was used for what."""


def _calm(series: Telemetry) -> list[Float32]:
    """Stretches of rows without anomalies."""
    edges = np.flatnonzero(np.diff(np.concatenate([[1], series.anomaly.astype(np.int8), [1]])))
    return [series.values[a:b] for a, b in edges.reshape(-1, 2)]
