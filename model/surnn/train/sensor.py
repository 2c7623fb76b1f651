"""The task behind `activity`: what is the wearer of a phone or watch doing, in every sample?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from surnn.dataset.motion import Execution, read_executions, tilted
from surnn.nn import Network
from surnn.spec import ModelKind, ModelSpec, ScaleFrontEnd
from surnn.train.config import Config
from surnn.train.config_data import SensorConfig
from surnn.train.losses import edge_weights
from surnn.train.sensor_valid import SensorValidation
from surnn.train.task import Batch, Report
from surnn.types import Float32

__all__ = ["SensorTask"]


class SensorTask:
    """Strings executions together, varied; validates on subjects kept apart."""

    def __init__(self, config: Config, root: Path) -> None:
        assert config.sensor is not None
        self.config = config
        self.sensor: SensorConfig = config.sensor
        model, folder = config.model, root / config.sensor.folder
        self.executions = read_executions(folder, "train", model.sample_rate, model.labels)
        self.deviation = np.concatenate([e.by_time[0] for e in self.executions]).std(axis=0)
        mean = np.concatenate([e.by_time[0] for e in self.executions]).mean(axis=0)
        self.spec = ModelSpec(
            name=model.name,
            version=model.version,
            kind=ModelKind.SENSOR,
            description=model.description,
            sample_rate=model.sample_rate,
            hop=1,
            channels=len(mean),
            frontend=ScaleFrontEnd(
                mean=tuple(round(float(m), 4) for m in mean),
                scale=tuple(round(1.0 / float(d), 4) for d in self.deviation),
            ),
            layers=model.layers,
            labels=model.labels,
            head=model.head,
            events=model.events,
            licence=model.licence,
        )
        self.frames = round(config.budget.seconds * model.sample_rate)
        held = read_executions(folder, "valid", model.sample_rate, model.labels)
        self.validation = SensorValidation(self.spec, held)

    def batch(self, number: int) -> Batch:
        """The batch of this number: always the same one, from any thread."""
        size = self.config.budget.batch
        clips = [self._clip(number * size + i) for i in range(size)]
        frames = torch.from_numpy(np.stack([x for x, _ in clips]))
        labels = torch.from_numpy(np.stack([y for _, y in clips]).astype(np.int64))
        targets = torch.nn.functional.one_hot(labels, len(self.spec.labels)).float()
        loss = self.config.loss
        return Batch(frames, targets, edge_weights(targets, loss.edge_frames, loss.skip_frames))

    def _clip(self, number: int) -> tuple[Float32, NDArray[np.uint8]]:
        """Executions one after another, from a random moment on: [T, 6] and [T]."""
        rng = np.random.default_rng([self.config.seed, number])
        mix = self.sensor.mix
        samples: list[Float32] = []
        labels: list[NDArray[np.uint8]] = []
        count = 0
        while count < self.frames:
            execution = self.executions[int(rng.integers(len(self.executions)))]
            x, y = self._varied(rng, execution)
            # Half of the streams begin with an execution, the others in the middle of one.
            if not samples and rng.random() < 0.5:
                start = int(rng.integers(len(x)))
                x, y = x[start:], y[start:]
            samples.append(x)
            labels.append(y)
            count += len(x)
        out = np.concatenate(samples)[: self.frames]
        noise = rng.standard_normal(out.shape, dtype=np.float32) * self.deviation
        out = out + np.float32(rng.uniform(0.0, mix.noise)) * noise
        return out.astype(np.float32), np.concatenate(labels)[: self.frames]

    def _varied(
        self, rng: np.random.Generator, execution: Execution
    ) -> tuple[Float32, NDArray[np.uint8]]:
        """Another pace, another way of wearing the device, stronger or weaker movements."""
        mix = self.sensor.mix
        x, y = execution.by_time if rng.random() < 0.5 else execution.by_row
        pace = rng.uniform(*mix.tempo)
        positions = np.arange(0.0, len(x) - 1.0, pace)
        whole = positions.astype(np.int64)
        part = (positions - whole)[:, None].astype(np.float32)
        x = x[whole] * (1.0 - part) + x[whole + 1] * part
        x = tilted(rng, x, mix.rotation)
        # Gravity keeps its size: only the movement around the mean changes.
        mean = x.mean(axis=0)
        return (x - mean) * np.float32(rng.uniform(*mix.gain)) + mean, y[whole]

    def validate(self, network: Network, *, final: bool = False) -> Report:
        """Accuracy, F1 and open rates on the held-out subjects."""
        return self.validation.report(network, final=final)

    def finished_spec(self, network: Network, report: Report) -> ModelSpec:
        """The spec as it is: the largest probability decides."""
        return network.spec

    def licences(self) -> list[dict[str, str]]:
        """The data that was used: rows for the model card."""
        about = {k: getattr(self.sensor, k) for k in ("folder", "source", "licence")}
        trained = ", ".join(sorted({e.subject for e in self.executions}))
        held = ", ".join(sorted({e.subject for e in self.validation.executions}))
        parts = (("train", f"subjects {trained}"), ("valid", f"subjects {held}"))
        return [{**about, "kind": "motion", "role": role, "part": part} for role, part in parts]

    def record(self) -> None:
        """The config says what was used for what."""
