"""Sequential MNIST (arXiv 1504.00941): a digit, one pixel a frame, named behind the last pixel.

`permuted` shows the pixels of all images in one order drawn at random. `pool` averages squares of
pixels first, for quick runs. The last 5,000 training images are for validation.

Data: `train-images-idx3-ubyte` and its three sisters, in the folder `mnist` of the data folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator

from surnn.errors import InvalidConfig, InvalidInput
from surnn.spec import Head, LayerSpec, ModelSpec, SwitchMode, SwitchSpec
from surnn.tasks.benchmark import HELD_OUT_BATCH, Benchmark, Metric, Split, classes, sensor_spec
from surnn.tasks.config import TaskConfig
from surnn.tasks.idx import read_idx
from surnn.train.config import Budget, LossConfig, Optimiser, SwitchTraining
from surnn.train.task import Batch
from surnn.types import Float32

__all__ = ["MnistConfig", "SequentialMnist", "fast", "fast_permuted", "paper", "paper_permuted"]

SIDE = 28
VALID_IMAGES = 5000
_MEAN, _DEVIATION = 0.1307, 0.3081
"""Of all training pixels, from 0 to 1."""
_PERMUTATION_SEED = 92916


class MnistConfig(TaskConfig):
    """How the images are shown."""

    folder: str = Field(default="mnist", description="Inside the data folder")
    permuted: bool = False
    pool: int = Field(default=1, ge=1, description="Side of the squares that become one pixel")

    @model_validator(mode="after")
    def _fits(self) -> MnistConfig:
        if SIDE % self.pool:
            raise ValueError(f"squares of {self.pool} pixels do not fill {SIDE} x {SIDE}")
        pixels = (SIDE // self.pool) ** 2
        if self.length != pixels or self.curriculum:
            raise ValueError(f"length is {self.length}, expected {pixels}: one frame a pixel")
        return self


class SequentialMnist(Benchmark[MnistConfig]):
    """Digits, pixel after pixel."""

    name = "sequential-mnist"
    about = "Handwritten digits, one pixel a frame, named at the end"

    def __init__(self, config: MnistConfig, data: Path | None) -> None:
        super().__init__(config)
        if data is None:
            raise InvalidConfig("this task needs a data folder with MNIST's IDX files: give --data")
        folder = data / config.folder
        if not folder.is_dir():
            raise InvalidInput(f"{folder} is not a folder, expected MNIST's IDX files in it")
        images = self._sequences(read_idx(folder, "train-images-idx3-ubyte", 3))
        labels = read_idx(folder, "train-labels-idx1-ubyte", 1).astype(np.int64)
        if len(images) != len(labels) or len(images) <= VALID_IMAGES:
            raise InvalidInput(
                f"{len(images)} images and {len(labels)} labels, expected as many of both and more "
                f"than the {VALID_IMAGES} for validation"
            )
        self._data = {
            Split.TRAIN: (images[:-VALID_IMAGES], labels[:-VALID_IMAGES]),
            Split.VALID: (images[-VALID_IMAGES:], labels[-VALID_IMAGES:]),
            Split.TEST: (
                self._sequences(read_idx(folder, "t10k-images-idx3-ubyte", 3)),
                read_idx(folder, "t10k-labels-idx1-ubyte", 1).astype(np.int64),
            ),
        }

    @property
    def metric(self) -> Metric:
        """Accuracy; the aim is that of plain images at full size."""
        aim = 0.97 if self.config.pool == 1 and not self.config.permuted else None
        return Metric("accuracy", higher_is_better=True, aim=aim, chance=0.1)

    def make_spec(self) -> ModelSpec:
        """One channel, from 0 to 1; ten digits."""
        return sensor_spec(
            "sequential-mnist",
            self.about,
            self.config.layers,
            mean=(_MEAN,),
            scale=(round(1 / _DEVIATION, 4),),
            labels=[str(digit) for digit in range(10)],
            head=Head.SOFTMAX,
        )

    def _sequences(self, images: NDArray[np.uint8]) -> Float32:
        """Images [N, 28, 28] as pixels [N, T] from 0 to 1."""
        if images.shape[1:] != (SIDE, SIDE):
            raise InvalidInput(f"images are {images.shape[1:]}, expected {SIDE} x {SIDE} pixels")
        pool = self.config.pool
        side = SIDE // pool
        squares = images.reshape(-1, side, pool, side, pool).mean(axis=(2, 4), dtype=np.float32)
        pixels = squares.reshape(len(images), -1) / np.float32(255)
        if self.config.permuted:
            pixels = pixels[:, np.random.default_rng(_PERMUTATION_SEED).permutation(side * side)]
        return cast(Float32, pixels)

    def draw(self, rng: np.random.Generator, split: Split, size: int, length: int) -> Batch:
        """Images drawn at random."""
        return self._batch(split, rng.integers(0, len(self._data[split][0]), size))

    def held_out(self, split: Split) -> Iterator[Batch]:
        """The first images of the split, in their order."""
        config = self.config
        count = config.valid_sequences if split is Split.VALID else config.test_sequences
        count = min(count, len(self._data[split][0]))
        for start in range(0, count, HELD_OUT_BATCH):
            yield self._batch(split, np.arange(start, min(start + HELD_OUT_BATCH, count)))

    def _batch(self, split: Split, index: NDArray[np.int64]) -> Batch:
        images, labels = self._data[split]
        frames = torch.from_numpy(images[index])[..., None]
        weights = np.zeros(frames.shape[:2], np.float32)
        weights[:, -1] = 1.0
        wide = np.repeat(labels[index][:, None], frames.shape[1], axis=1)
        return classes(frames, wide, weights, 10)


def fast() -> MnistConfig:
    """One core, about 20 minutes: 4 to 5 times through the training images.

    The clock stays as drawn: that costs hardly any accuracy and saves the candidates of closed
    neurons, which only a learning switch needs. Every image is a stream of its own, which begins at
    frame 0 as in the papers: a clock then knows which pixel it is.
    """
    switch = SwitchSpec(mode=SwitchMode.CLOCK, open_rate=0.17, max_period=784.0)
    return MnistConfig(
        layers=(LayerSpec(hidden=128, switch=switch),),
        length=784,
        valid_sequences=2000,
        test_sequences=10_000,
        budget=Budget(minutes=240, steps=4000, batch=64, validate_steps=500, random_start=False),
        optimiser=Optimiser(lr=4e-3, average=0.998, weight_decay=1e-4, orthogonal=True),
        switches=SwitchTraining(frozen=True),
        loss=LossConfig(open_weight=0.0),
    )


def paper() -> MnistConfig:
    """A GPU, 100 times through the training images, in mixed precision.

    The clocks stay as drawn here too: only then does cuDNN's GRU train them.
    """
    config = fast()
    layer = config.layers[0].model_copy(update={"hidden": 256})
    budget = config.budget.model_copy(
        update={
            "minutes": 600.0,
            "steps": 43_000,
            "validate_steps": 1000,
            "batch": 128,
            "device": "cuda",
            "precision": "bfloat16",
        }
    )
    return config.model_copy(
        update={
            "layers": (layer, layer),
            "valid_sequences": 5000,
            "budget": budget,
            "optimiser": config.optimiser.model_copy(update={"lr": 1e-3, "average": 0.999}),
        }
    )


def fast_permuted() -> MnistConfig:
    """As `fast`, permuted."""
    return fast().model_copy(update={"permuted": True})


def paper_permuted() -> MnistConfig:
    """As `paper`, permuted."""
    return paper().model_copy(update={"permuted": True})
