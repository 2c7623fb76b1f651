"""The task behind `surnn train` for your own sounds and signals: any labels, in every frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from surnn.dataset import Labelled, Part, Split, Truth, frame_truth, read_audio, read_sensor, split
from surnn.dataset.record import DataRecord, FilePart
from surnn.nn import Network
from surnn.segments import Segment
from surnn.spec import EventRule, FrontEnd, Head, ModelKind, ModelSpec, ScaleFrontEnd
from surnn.train.config import Config
from surnn.train.frames_valid import FramesValidation
from surnn.train.losses import edge_weights
from surnn.train.recordings import Pool
from surnn.train.synthetic import synthetic_clips
from surnn.train.tapes import Reel, Tape, load_sound, vary_series, vary_sound
from surnn.train.task import Batch, Report
from surnn.types import Float32

__all__ = ["FramesTask"]


class FramesTask:
    """Cuts clips out of labelled recordings; validates on groups kept apart.

    Everything is read and checked when the task is made. Raises `InvalidInput` or `InvalidAudio`
    naming file and line.
    """

    def __init__(self, config: Config, root: Path) -> None:
        self.config = config
        self._samples: dict[str, Float32] = {}
        model = config.model
        self.exclusive = model.head is Head.SOFTMAX
        if config.task == "audio":
            recordings, found = self._sounds(root)
            front: FrontEnd = model.frontend
            channels, hop = 1, model.hop
        else:
            recordings, found, front = self._series(root)
            channels, hop = len(config.columns.channels), 1
        self.spec = ModelSpec(
            name=model.name,
            version=model.version,
            kind=ModelKind.AUDIO if config.task == "audio" else ModelKind.SENSOR,
            description=model.description,
            sample_rate=model.sample_rate,
            hop=hop,
            channels=channels,
            frontend=front,
            encoder=model.encoder,
            lookahead=model.lookahead,
            layers=model.layers,
            labels=model.labels,
            head=model.head,
            events=model.events or self._rules(),
            licence=model.licence,
        )
        self.recordings, self.split = recordings, found
        reels = {part: self._reels(part) for part in (Part.TRAIN, Part.VALID)}
        frames = round(config.budget.seconds * self.spec.frame_rate)
        if config.task == "audio":
            pool = Pool((synthetic_clips(config.seed, model.sample_rate),), (1.0,))
            vary = vary_sound(config.sound, pool, model.sample_rate)
        else:
            stacked = np.concatenate([r.samples for r in reels[Part.TRAIN]])
            vary = vary_series(config.series, stacked.std(axis=0).astype(np.float32))
        self.tape = Tape(
            reels[Part.TRAIN],
            hop=hop,
            frames=frames,
            seed=config.seed,
            vary=vary,
            pause=config.sound.pause if config.task == "audio" else 0.0,
            nothing=self._truth((), 1),
        )
        self.validation = FramesValidation(
            self.spec, reels[Part.VALID], config.budget.validate_minutes
        )

    def _sounds(self, root: Path) -> tuple[list[Labelled], Split]:
        model = self.config.model
        found = read_audio(
            root,
            self.config.labels,
            labels=model.labels,
            sample_rate=model.sample_rate,
            exclusive=self.exclusive,
        )
        return found, split(root, found, self.config.split, self.config.seed)

    def _series(self, root: Path) -> tuple[list[Labelled], Split, ScaleFrontEnd]:
        config = self.config
        series = read_sensor(
            root,
            config.model.sample_rate,
            config.columns,
            config.labels,
            labels=config.model.labels,
            exclusive=self.exclusive,
        )
        found = split(root, [s.labelled for s in series], config.split, config.seed)
        self._samples = {s.labelled.name: s.samples for s in series}
        # Means and spreads of the training part alone.
        learnt = np.concatenate([self._samples[n] for n in sorted(found.of(Part.TRAIN))])
        mean, spread = learnt.mean(axis=0), np.maximum(learnt.std(axis=0), 1e-6)
        front = ScaleFrontEnd(
            mean=tuple(float(f"{m:.6g}") for m in mean),
            scale=tuple(float(f"{1.0 / s:.6g}") for s in spread),
        )
        return [s.labelled for s in series], found, front

    def _reels(self, part: Part) -> list[Reel]:
        names = self.split.of(part)
        reels = []
        for recording in self.recordings:
            if recording.name not in names:
                continue
            samples: NDArray[np.generic]
            if self.config.task == "audio":
                samples = load_sound(recording, self.spec.sample_rate)
            else:
                samples = self._samples[recording.name]
            frames = len(samples) // self.spec.hop
            if frames:
                reels.append(Reel(recording.name, samples, self._truth(recording.segments, frames)))
        return reels

    def _truth(self, segments: Sequence[Segment], frames: int) -> Truth:
        return frame_truth(
            segments,
            self.config.model.labels,
            frames,
            self.config.model.sample_rate / (self.config.model.hop if self._is_audio else 1),
            exclusive=self.exclusive,
            background=self.config.labels.background,
        )

    @property
    def _is_audio(self) -> bool:
        return self.config.task == "audio"

    def _rules(self) -> tuple[EventRule, ...]:
        """A rule for every label but the background; thresholds come after training."""
        return tuple(
            EventRule(label=label)
            for label in self.config.model.labels
            if label != self.config.labels.background
        )

    def batch(self, number: int) -> Batch:
        """The batch of this number: always the same one, from any thread."""
        size, hop = self.config.budget.batch, self.spec.hop
        clips = [self.tape.clip(number * size + i) for i in range(size)]
        frames = np.stack([x for x, _ in clips])
        frames = frames.reshape(size, self.tape.frames, hop * self.spec.channels)
        labels = np.stack([t.labels for _, t in clips]).astype(np.float32)
        known = np.stack([t.known for _, t in clips]).astype(np.float32)
        # What the network says in frame t answers for frame t - lookahead.
        ahead = self.spec.lookahead
        if ahead:
            labels = np.concatenate([labels[:, :1].repeat(ahead, 1), labels[:, :-ahead]], axis=1)
            known = np.concatenate([known[:, :1].repeat(ahead, 1), known[:, :-ahead]], axis=1)
        targets = torch.from_numpy(labels)
        loss = self.config.loss
        weights = edge_weights(targets, loss.edge_frames, loss.skip_frames + ahead)
        return Batch(torch.from_numpy(frames), targets, weights * torch.from_numpy(known))

    def validate(self, network: Network, *, final: bool = False) -> Report:
        """AUC, F1, accuracy and open rates on the groups kept apart for it."""
        return self.validation.report(network, final=final)

    def finished_spec(self, network: Network, report: Report) -> ModelSpec:
        """Thresholds from the groups kept apart for it, with hysteresis around them."""
        rules = []
        for rule in self.spec.events:
            threshold = report.thresholds.get(rule.label, report.threshold)
            on = round(min(0.95, threshold + 0.05), 2)
            off = round(max(0.03, min(threshold - 0.1, on)), 2)
            rules.append(rule.model_copy(update={"on": on, "off": off}))
        return network.spec.model_copy(
            update={"threshold": report.threshold, "events": tuple(rules)}
        )

    def licences(self) -> list[dict[str, str]]:
        """The data that was used: rows for the model card."""
        rows = []
        for part in Part:
            names = sorted(self.split.of(part))
            if not names:
                continue
            groups = sorted({self.split.groups[n] for n in names})
            minutes = sum(r.seconds for r in self.recordings if r.name in set(names)) / 60.0
            shown = ", ".join(groups[:12]) + (", ..." if len(groups) > 12 else "")
            rows.append(
                {
                    "folder": "your recordings",
                    "source": "",
                    "kind": self.config.task,
                    "role": part.value,
                    "licence": "",
                    "part": f"{len(names)} recordings, {minutes:.1f} min, groups {shown}",
                }
            )
        return rows

    def record(self) -> DataRecord:
        """How the data were read and divided."""
        return DataRecord(
            labels=self.config.labels,
            columns=self.config.columns,
            rule=self.split.rule,
            seed=self.config.seed,
            files=tuple(FilePart.model_validate(r) for r in self.split.rows(self.recordings)),
        )
