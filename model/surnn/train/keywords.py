"""The task behind `keywords`: which of some words was just spoken, in running audio?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from surnn.errors import InvalidInput
from surnn.nn import Network
from surnn.segments import Segment, frame_labels
from surnn.spec import EventRule, Head, ModelSpec
from surnn.train.audio_spec import audio_spec
from surnn.train.config import Config
from surnn.train.config_data import WordsConfig
from surnn.train.keywords_valid import KeywordsValidation
from surnn.train.recordings import Clip, Pool, read_pool, read_set
from surnn.train.synthetic import synthetic_clips
from surnn.train.task import Batch, Report
from surnn.train.word_items import WordSources
from surnn.train.word_mix import Planted, WordMixer
from surnn.types import Float32

__all__ = ["KeywordsTask", "background_of", "sources", "word_targets", "words_spec"]

_RISE = 0.05
"""Seconds around an answer that count for neither."""


class KeywordsTask:
    """Plants words into running audio; validates on speakers, noises and speech kept apart.

    The first label is the background: no word. Labels exclude each other.
    """

    def __init__(self, config: Config, root: Path) -> None:
        assert config.keywords is not None
        self.config = config
        self.words: WordsConfig = config.keywords
        model = config.model
        self.background = background_of(config)
        self.spec = words_spec(config)
        rate = model.sample_rate
        self.frames = round(config.budget.seconds * self.spec.frame_rate)
        self.mixer = WordMixer(
            sources(self.words, root, "train", self.spec, self.background, config.seed),
            self.words.mix,
            rate=rate,
            samples=self.frames * model.hop,
            seed=config.seed,
        )
        held = {
            role: sources(self.words, root, role, self.spec, self.background, config.seed)
            for role in ("valid", "test")
        }
        self.validation = KeywordsValidation(self.spec, self.words, self.background, held)

    def batch(self, number: int) -> Batch:
        """The batch of this number: always the same one, from any thread."""
        size = self.config.budget.batch
        clips = [self.mixer.clip(number * size + i) for i in range(size)]
        frames = np.stack([c.samples for c in clips]).reshape(size, -1, self.spec.hop)
        made = [word_targets(c, self.spec, self.words, self.background) for c in clips]
        weights = np.stack([w for _, w, _ in made])
        weights[:, : self.config.loss.skip_frames] = 0.0
        return Batch(
            torch.from_numpy(frames),
            torch.from_numpy(np.stack([t for t, _, _ in made])),
            torch.from_numpy(weights),
            quiet=torch.from_numpy(np.stack([q for _, _, q in made])),
        )

    def validate(self, network: Network, *, final: bool = False) -> Report:
        """Accuracy on words of held-out speakers, and false alarms without any."""
        return self.validation.report(network, final=final)

    def finished_spec(self, network: Network, report: Report) -> ModelSpec:
        """The rule at which validation material gave few enough false alarms."""
        on, hold = report.threshold, report.figures["hold_seconds"]
        smooth = report.figures["smooth_seconds"]
        rule = {"on": on, "off": round(0.5 * on, 3), "min_on": hold, "smooth": smooth}
        if smooth:
            rule["min_off"] = 0.1  # a mean falls slowly enough by itself
        rules = tuple(r.model_copy(update=rule) for r in self.spec.events)
        return network.spec.model_copy(update={"threshold": on, "events": rules})

    def licences(self) -> list[dict[str, str]]:
        """The data that was used: rows for the model card."""
        return [s.described() for s in self.words.sets]

    def record(self) -> None:
        """The config says what was used for what."""


def background_of(config: Config) -> str:
    """The label of no word."""
    return config.labels.background or config.model.labels[0]


def words_spec(config: Config) -> ModelSpec:
    """The model that a keywords config describes, with a rule for each word."""
    rules = tuple(
        EventRule(label=label, on=0.5, off=0.25, min_on=0.03, min_off=0.3, point=True)
        for label in config.model.labels
        if label != background_of(config)
    )
    return audio_spec(config, head=Head.SOFTMAX, events=config.model.events or rules)


def sources(
    config: WordsConfig, root: Path, role: str, spec: ModelSpec, background: str, seed: int
) -> WordSources:
    """The material of one role. Raises `InvalidInput` or `InvalidAudio`."""
    chosen = [s for s in config.sets if s.role == role]
    clips: list[Clip] = []
    for item in chosen:
        if item.kind == "words":
            clips += read_set(root, item, spec.sample_rate)
    names = [label for label in spec.labels if label != background]
    said = {c.word for c in clips}
    if role == "train" and (missing := [name for name in names if name not in said]):
        raise InvalidInput(
            f"{root}: the sets for training hold no clip of {missing}, expected some of each label"
        )
    pools = {
        kind: read_pool(root, [s for s in chosen if s.kind == kind], spec.sample_rate)
        for kind in ("speech", "noise", "music")
    }
    synthetic = Pool((), ())
    if role == "train":
        synthetic = Pool((synthetic_clips(seed, spec.sample_rate),), (1.0,))
    return WordSources(
        words={n: tuple(c for c in clips if c.word == n) for n in names},
        others=tuple(c for c in clips if c.word not in names),
        speech=pools["speech"],
        noise=pools["noise"],
        music=pools["music"],
        synthetic=synthetic,
    )


def word_targets(
    planted: Planted, spec: ModelSpec, config: WordsConfig, background: str
) -> tuple[Float32, Float32, Float32]:
    """Targets [T, C], weights [T] and where switches should be shut [T].

    Only a word that stands alone is one: it is the target from `after` to `hold` seconds behind
    its end, when silence has shown that it is over. While it sounds the background is right, as
    for words within a sentence; the moments in which the answer rises and falls count for nothing.
    """
    frames = len(planted.samples) // spec.hop
    rate, ahead = spec.frame_rate, spec.lookahead / spec.frame_rate
    column = spec.labels.index(background)
    targets = np.zeros((frames, len(spec.labels)), np.float32)
    weights = np.ones(frames, np.float32)

    def where(spans: Sequence[Segment]) -> np.ndarray:
        return frame_labels(spans, "", frames, rate)

    for word in planted.words:
        known, until = word.end + config.after + ahead, word.end + config.hold + ahead
        weights[where([Segment(word.end - _RISE, until + _RISE, "")])] = 0.0
        inside = where([Segment(known, until, "")])
        targets[inside, spec.labels.index(word.label)] = 1.0
        weights[inside] = 1.0
    targets[:, column] = targets.sum(axis=1) == 0
    loud = where([Segment(s.start, s.end + config.hold, "") for s in planted.sounds])
    return targets, weights, (~loud).astype(np.float32)
