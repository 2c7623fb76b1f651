"""Spoken digits inside long silence: which digit was it, up to ten minutes later?

A model of audio, 8 kHz, 10 ms a frame. A recording begins at a random moment of the first half
second; in every frame behind it the digit is asked for, through weak noise. Networks learn on
seconds; the curve goes on for minutes.

Data: the Free Spoken Digit Dataset as one FLAC file for each speaker and a table `clips.csv` with
`file`, `start_sample`, `end_sample`, `digit`, `speaker`, in the folder `kws_fsdd` of the data
folder. Speakers are in one split only.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import soundfile
import torch
from pydantic import Field

from surnn.errors import InvalidConfig, InvalidInput
from surnn.nn import Network
from surnn.spec import (
    Head,
    LayerSpec,
    LogMelFrontEnd,
    ModelKind,
    ModelSpec,
    SwitchMode,
    SwitchSpec,
)
from surnn.tasks.benchmark import HELD_OUT_BATCH, Benchmark, Metric, Split, classes
from surnn.tasks.config import TaskConfig
from surnn.tasks.silence import RecallPoint, recall_curve
from surnn.train.config import Budget, LossConfig, Optimiser
from surnn.train.task import Batch
from surnn.types import Float32

__all__ = ["SpokenDigits", "SpokenDigitsConfig", "fast", "paper"]

RATE = 8_000
HOP = 80
_LATEST_START = RATE // 2
_SETTLE = 10
"""Frames behind the end of the word from which on the digit is asked for."""


class SpokenDigitsConfig(TaskConfig):
    """Who speaks, and what silence is."""

    folder: str = Field(default="kws_fsdd", description="Inside the data folder")
    valid_speakers: tuple[str, ...] = ("nicolas",)
    test_speakers: tuple[str, ...] = ("yweweler",)
    noise_db: float = Field(default=-70.0, description="Level of the noise, dB of full scale")
    silence: tuple[float, ...] = Field(
        default=(1, 3, 10, 30, 100, 300, 600), description="Seconds, ascending"
    )
    silence_sequences: int = Field(default=100, gt=0)


class SpokenDigits(Benchmark[SpokenDigitsConfig]):
    """A digit, then nothing."""

    name = "spoken-digits"
    about = "A spoken digit, asked for in the silence behind it"

    def __init__(self, config: SpokenDigitsConfig, data: Path | None) -> None:
        super().__init__(config)
        if data is None:
            raise InvalidConfig("this task needs a data folder with spoken digits: give --data")
        self._clips = _read_clips(data / config.folder, config)

    @property
    def metric(self) -> Metric:
        """Accuracy of the digit, over frames behind the word."""
        return Metric("accuracy", higher_is_better=True, chance=0.1)

    def make_spec(self) -> ModelSpec:
        """Audio in, a digit in every frame out."""
        return ModelSpec(
            name=self.name,
            kind=ModelKind.AUDIO,
            description=self.about,
            sample_rate=RATE,
            hop=HOP,
            frontend=LogMelFrontEnd(window=200, n_fft=256, bands=32, f_max=3800.0),
            layers=self.config.layers,
            labels=tuple(str(digit) for digit in range(10)),
            head=Head.SOFTMAX,
            licence="Apache-2.0",
        )

    def draw(self, rng: np.random.Generator, split: Split, size: int, length: int) -> Batch:
        """Recordings drawn at random; in training each at another level and pace."""
        clips = self._clips[split]
        return self._batch(rng, split, [int(i) for i in rng.integers(0, len(clips), size)], length)

    def held_out(self, split: Split) -> Iterator[Batch]:
        """All recordings of the split, or as many as are asked for."""
        config = self.config
        count = config.valid_sequences if split is Split.VALID else config.test_sequences
        count = min(count, len(self._clips[split]))
        for number, start in enumerate(range(0, count, HELD_OUT_BATCH)):
            rng = np.random.default_rng([split, number])
            index = list(range(start, min(start + HELD_OUT_BATCH, count)))
            yield self._batch(rng, split, index, config.length)

    def remembered(self, network: Network) -> list[RecallPoint]:
        """The curve, for recordings of the test speakers spread over all digits."""
        clips = self._clips[Split.TEST]
        count = min(self.config.silence_sequences, len(clips))
        index = [int(i) for i in np.linspace(0, len(clips) - 1, count)]
        rng = np.random.default_rng([Split.TEST, 0])
        longest = max(len(clips[i][0]) for i in index)
        length = (_LATEST_START + longest) // HOP + 1 + _SETTLE
        batch = self._batch(rng, Split.TEST, index, length)
        labels = np.array([[clips[i][1]] for i in index])
        last = torch.from_numpy(self._noise(rng, count, 1))
        question = classes(last, labels, np.ones((count, 1), np.float32), 10)
        return recall_curve(
            network,
            batch.frames,
            question,
            lambda frames, rng: self._noise(rng, count, frames),
            self.config.silence,
        )

    def _noise(self, rng: np.random.Generator, size: int, length: int) -> Float32:
        level = np.float32(10 ** (self.config.noise_db / 20))
        noise: Float32 = level * rng.standard_normal((size, length, HOP), dtype=np.float32)
        return noise

    def _batch(
        self, rng: np.random.Generator, split: Split, index: list[int], length: int
    ) -> Batch:
        frames = self._noise(rng, len(index), length)
        audio = frames.reshape(len(index), -1)
        labels = np.zeros((len(index), length), np.int64)
        weights = np.zeros((len(index), length), np.float32)
        for row, i in enumerate(index):
            samples, digit = self._clips[split][i]
            if split is Split.TRAIN:
                samples = _varied(rng, samples)
            start = int(rng.integers(_LATEST_START))
            samples = samples[: audio.shape[1] - start - (_SETTLE + 2) * HOP]
            audio[row, start : start + len(samples)] += samples
            labels[row] = digit
            weights[row, (start + len(samples)) // HOP + 1 + _SETTLE :] = 1.0
        return classes(torch.from_numpy(frames), labels, weights, 10)


def _varied(rng: np.random.Generator, samples: Float32) -> Float32:
    """Another pace (and pitch), another level."""
    pace = rng.uniform(0.85, 1.18)
    at = np.arange(0, len(samples) - 1, pace)
    level = 10 ** (rng.uniform(-12.0, 6.0) / 20)
    varied: Float32 = np.float32(level) * np.interp(at, np.arange(len(samples)), samples)
    return varied.astype(np.float32)


def _read_clips(folder: Path, config: SpokenDigitsConfig) -> dict[Split, list[tuple[Float32, int]]]:
    table = folder / "clips.csv"
    if not table.is_file():
        raise InvalidInput(f"{folder} holds no clips.csv, expected the spoken digits")
    clips: dict[Split, list[tuple[Float32, int]]] = {split: [] for split in Split}
    files: dict[str, Float32] = {}
    with table.open(newline="", encoding="utf-8") as file:
        for line, row in enumerate(csv.DictReader(file), 2):
            name, speaker = row["file"], row["speaker"]
            if name not in files:
                files[name] = _read_speaker(folder / name)
            split = Split.TRAIN
            if speaker in config.valid_speakers:
                split = Split.VALID
            elif speaker in config.test_speakers:
                split = Split.TEST
            clips[split].append(_clip(files[name], row, f"{table}, line {line}"))
    empty = [split.name.lower() for split, found in clips.items() if not found]
    if empty:
        raise InvalidInput(
            f"clips.csv leaves nothing for {', '.join(empty)}, expected speakers there"
        )
    return clips


def _read_speaker(path: Path) -> Float32:
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except (OSError, soundfile.SoundFileError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from None
    if rate != RATE or samples.ndim != 1:
        raise InvalidInput(f"{path.name} has {rate} samples per second, expected {RATE} mono")
    return cast(Float32, samples)


def _clip(samples: Float32, row: dict[str, str], where: str) -> tuple[Float32, int]:
    """One recording and its digit."""
    try:
        start, end, digit = (int(row[name]) for name in ("start_sample", "end_sample", "digit"))
    except (ValueError, TypeError):
        raise InvalidInput(f"{where}: {list(row.values())}, expected whole numbers") from None
    if not (0 <= start < end <= len(samples) and 0 <= digit <= 9):
        raise InvalidInput(
            f"{where}: samples {start} to {end} say {digit}, "
            f"expected a part of {row['file']}'s {len(samples)} samples and a digit"
        )
    return samples[start:end], digit


def fast() -> SpokenDigitsConfig:
    """Two and a half seconds on one core."""
    switch = SwitchSpec(mode=SwitchMode.INPUT, open_rate=0.3)
    return SpokenDigitsConfig(
        layers=(LayerSpec(hidden=96, switch=switch),),
        length=250,
        valid_sequences=500,
        test_sequences=500,
        budget=Budget(minutes=60, steps=1200, batch=64, validate_steps=200),
        optimiser=Optimiser(lr=4e-3, switch_lr=1.5e-2, average=0.99),
        loss=LossConfig(open_target=0.1, open_weight=2.0),
    )


def paper() -> SpokenDigitsConfig:
    """Ten seconds on a GPU."""
    config = fast()
    return config.model_copy(
        update={
            "length": 1000,
            "layers": (config.layers[0].model_copy(update={"hidden": 256}),),
            "budget": Budget(
                minutes=600, steps=10_000, batch=64, validate_steps=500, device="cuda"
            ),
        }
    )
