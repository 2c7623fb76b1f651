"""Small data sets in the formats of the real ones, and settings of runs that take a second."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from surnn.tasks import sequential_mnist
from surnn.tasks.records import Layer, Recall, Record, Score
from surnn.tasks.runner import RunOptions

HELD_BACK = 6
"""Training images that are for validation, in these tests."""
SPEAKERS = ("anna", "nicolas", "yweweler")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def idx() -> Callable[[NDArray[np.uint8]], bytes]:
    """An array as an IDX file."""
    return _idx


def _idx(array: NDArray[np.uint8]) -> bytes:
    header = bytes([0, 0, 8, array.ndim])
    return header + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with 20 training and 8 test images, plain and packed; few for validation."""
    monkeypatch.setattr(sequential_mnist, "VALID_IMAGES", HELD_BACK)
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    for name, count in (("train", 20), ("t10k", 8)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(_idx(images), 1))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(_idx(labels))
    return tmp_path / "data"


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of spoken digits: one file for each speaker, ten hums of 0.2 s each."""
    root = tmp_path_factory.mktemp("digits")
    folder = root / "kws_fsdd"
    folder.mkdir()
    rows = []
    for number, speaker in enumerate(SPEAKERS):
        hums = []
        for digit in range(10):
            t = np.arange(1600) / 8000
            hums.append(0.3 * np.sin(2 * np.pi * (300 + 200 * digit + 20 * number) * t))
            rows.append((f"{speaker}.flac", 1600 * digit, 1600 * (digit + 1), digit, speaker))
        soundfile.write(folder / f"{speaker}.flac", np.concatenate(hums), 8000)
    with (folder / "clips.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "start_sample", "end_sample", "digit", "speaker"))
        writer.writerows(rows)
    return root


@pytest.fixture(scope="session")
def small_run() -> Callable[..., RunOptions]:
    """Options of a run of the adding problem that is over in a second."""
    return _small_run


def _small_run(**options: Any) -> RunOptions:
    changes = {
        "length": 20,
        "valid_sequences": 16,
        "test_sequences": 70,
        "budget.steps": 12,
        "budget.batch": 8,
        "budget.validate_steps": 4,
    } | options.pop("changes", {})
    return RunOptions(hidden=8, changes=changes, progress=False, **options)


@pytest.fixture(scope="session")
def record() -> Callable[..., Record]:
    """A record of a run that never was, with some fields changed."""
    return _record


def _record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "task": "recall",
        "settings": "fast",
        "length": 200,
        "layers": (
            Layer(cell="sugru", hidden=64, switch="input", open_rate=0.05, dead=3, always_open=1),
        ),
        "parameters": 12_345,
        "seed": 1,
        "steps": 1_500,
        "seconds": 61.2,
        "cpu_seconds": 59.9,
        "score": Score(
            metric="accuracy",
            higher_is_better=True,
            test=0.98765,
            valid=0.99,
            aim=0.97,
            reached=True,
            chance=0.5,
        ),
        "open_rate": 0.05,
        "device": "CPU, 1 core",
        "command": "surnn tasks run recall",
        "config": {"length": 200},
        "machine": {"cpu": "A Processor"},
    }
    return Record(**(fields | changes))


@pytest.fixture(scope="session")
def curve() -> Callable[..., tuple[Recall, ...]]:
    """Recall after 1, 10, 100 ... seconds, with less and less carried."""
    return _curve


def _curve(*accuracies: float) -> tuple[Recall, ...]:
    return tuple(
        Recall(seconds=10.0**i, accuracy=a, carried=1 / (i + 1)) for i, a in enumerate(accuracies)
    )
