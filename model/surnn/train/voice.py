"""The task behind `vad`: speech or not, in every hop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from surnn.nn import Network
from surnn.spec import EventRule, ModelSpec
from surnn.train.audio_mix import Mixer, Sources
from surnn.train.audio_spec import audio_spec
from surnn.train.config import Config
from surnn.train.config_data import AudioConfig
from surnn.train.losses import edge_weights
from surnn.train.recordings import Pool, read_pool
from surnn.train.synthetic import cry_clips, synthetic_clips
from surnn.train.task import Batch, Report
from surnn.train.voice_valid import VoiceValidation

__all__ = ["VoiceTask"]


class VoiceTask:
    """Mixes clips while training; validates on speakers, noises and languages kept apart."""

    def __init__(self, config: Config, root: Path) -> None:
        assert config.audio is not None
        self.config = config
        self.audio: AudioConfig = config.audio
        model = self.spec = audio_spec(config)
        synthetic = Pool((synthetic_clips(config.seed, model.sample_rate),), (1.0,))
        if self.audio.mix.cries:
            cried = cry_clips(config.seed, model.sample_rate)
            synthetic = Pool((*synthetic.sets, cried), (1.0, self.audio.mix.cries))
        self.mixer = Mixer(
            Sources(
                speech=self._pool(root, "speech"),
                noise=self._pool(root, "noise"),
                music=self._pool(root, "music"),
                synthetic=synthetic,
            ),
            self.audio.mix,
            rate=model.sample_rate,
            hop=model.hop,
            frames=round(config.budget.seconds * model.sample_rate / model.hop),
            seed=config.seed,
        )
        self.validation = VoiceValidation(self.spec, self.audio, root)

    def _pool(self, root: Path, kind: str) -> Pool:
        sets = [s for s in self.audio.sets if s.kind == kind and s.role == "train"]
        return read_pool(root, sets, self.config.model.sample_rate)

    def batch(self, number: int) -> Batch:
        """The batch of this number: always the same one, from any thread."""
        size = self.config.budget.batch
        clips = [self.mixer.clip(number * size + i) for i in range(size)]
        frames = np.stack([c.samples for c in clips]).reshape(size, -1, self.spec.hop)
        labels = np.stack([c.labels for c in clips])[..., None]  # [B, T, 1]
        # What the network says in frame t answers for frame t - lookahead.
        ahead = self.spec.lookahead
        labels = np.concatenate([labels[:, :1].repeat(ahead, 1), labels], axis=1)[
            :, : frames.shape[1]
        ]
        targets = torch.from_numpy(labels.astype(np.float32))
        loss = self.config.loss
        weights = edge_weights(targets, loss.edge_frames, loss.skip_frames + ahead)
        return Batch(torch.from_numpy(frames), targets, weights)

    def validate(self, network: Network, *, final: bool = False) -> Report:
        """AUC, F1, accuracy and open rates on the held-out streams."""
        return self.validation.report(network, final=final)

    def finished_spec(self, network: Network, report: Report) -> ModelSpec:
        """Threshold from the held-out streams, event rules with hysteresis around it."""
        threshold = report.threshold
        rules = tuple(
            EventRule(
                label=rule.label,
                on=round(min(0.95, threshold + 0.1), 2),
                off=round(max(0.05, threshold - 0.15), 2),
                min_on=rule.min_on,
                min_off=rule.min_off,
            )
            for rule in self.spec.events
        )
        return network.spec.model_copy(update={"threshold": threshold, "events": rules})

    def licences(self) -> list[dict[str, str]]:
        """The data that was used: rows for the model card."""
        return [s.described() for s in self.audio.sets]

    def record(self) -> None:
        """The config says what was used for what."""
