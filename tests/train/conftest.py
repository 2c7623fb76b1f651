"""A small world to train in: voices that are harmonics, noises that are noise, and motions."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from surnn.types import Float32

RATE = 16_000
ACTIVITIES = ("SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN")

VOICE_TOML = """
task = "voice"
seed = 5

[model]
name = "tiny"
description = "Voice activity in a toy world"
licence = "Apache-2.0"
frontend = { type = "logmel", bands = 12 }
layers = [{ hidden = 8, switch = { frequencies = 4 } }]
events = [{ label = "speech", min_on = 0.05, min_off = 0.1 }]

[budget]
minutes = 5
steps = 6
batch = 4
seconds = 1.0
carry_state = 0.5
validate_steps = 3

[loss]
open_target = 0.1
open_weight = 1.0

[audio.valid]
seconds = 3.0
streams = 2

[[audio.sets]]
folder = "voices"
source = "Made for this test"
kind = "speech"
role = "train"
licence = "CC0"
where = { split = ["train"] }

[[audio.sets]]
folder = "voices"
kind = "speech"
role = "valid"
licence = "CC0"
where = { split = ["valid"] }

[[audio.sets]]
folder = "hiss"
kind = "noise"
role = "train"
licence = "CC BY-SA 4.0"
files = ["a.flac"]

[[audio.sets]]
folder = "hiss"
kind = "noise"
role = "valid"
licence = "CC0"
files = ["b.flac"]
"""

ACTIVITY_TOML = """
task = "activity"
seed = 5

[model]
name = "moves"
description = "Activities in a toy world"
labels = ["SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN"]
sample_rate = 100
hop = 1
head = "softmax"
layers = [{ hidden = 8, switch = { mode = "clock+input", frequencies = 4 } }]
events = [{ label = "WALKING" }]

[budget]
minutes = 5
steps = 4
batch = 3
seconds = 2.0

[loss]
open_weight = 1.0
class_weights = [1.0, 1.0, 1.0, 1.0, 2.0]

[sensor]
folder = "motion"
licence = "CC0"
"""


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


def voice(seconds: float, pitch: float) -> Float32:
    """A buzz of harmonics, trembling: far from speech, but a sound with edges."""
    t = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * k * pitch * t) / k for k in range(1, 9))
    return np.asarray(0.1 * wave * (1 + 0.3 * np.sin(2 * np.pi * 5 * t)), dtype=np.float32)


def write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `voices` (two files of three clips each), `hiss` and `motion`."""
    root = tmp_path_factory.mktemp("world")
    _voices(root / "voices")
    (root / "hiss").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.flac", "b.flac"):
        noise = 0.005 * rng.standard_normal(4 * RATE)
        soundfile.write(root / "hiss" / name, noise, RATE)
    _motion(root / "motion")
    return root


def _voices(folder: Path) -> None:
    """Each clip is 1.5 s, with a voice from 0.25 s to 1.25 s."""
    folder.mkdir()
    clips, segments = [], []
    for name, pitch, split in (("one.flac", 110.0, "train"), ("two.flac", 170.0, "valid")):
        clip = np.zeros(round(1.5 * RATE), np.float32)
        clip[RATE // 4 : RATE // 4 + RATE] = voice(1.0, pitch)
        soundfile.write(folder / name, np.tile(clip, 3), RATE)
        for i in range(3):
            clips.append((name, i * len(clip), (i + 1) * len(clip), split))
            segments.append((name, 1.5 * i + 0.25, 1.5 * i + 1.25, "speech"))
    write_table(folder / "clips.csv", ("file", "start_sample", "end_sample", "split"), clips)
    write_table(folder / "segments.csv", ("file", "start_s", "end_s", "label"), segments)


def _motion(folder: Path) -> None:
    """Two executions of each device and part: each activity for 0.5 s, told by its mean."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for part, subjects in (("train", ("s01", "s02")), ("valid", ("s03", "s04"))):
        arrays: dict[str, np.ndarray] = {
            "labels": np.array(ACTIVITIES),
            "acc_scale": np.float32(0.002),
            "gyro_scale": np.float32(0.001),
        }
        index = []
        for short, device in (("sp", "phone"), ("sw", "watch")):
            y = np.tile(np.repeat(np.arange(5, dtype=np.uint8), 50), 2)
            x = rng.normal(0, 200, (500, 6)) + 800.0 * y[:, None]
            stamps = np.tile(np.arange(250) * 10, 2)
            arrays[f"x_{device}"] = x.astype(np.int16)
            arrays[f"y_{device}"] = y
            arrays[f"t_ms_{device}"] = stamps.astype(np.int32)
            for i, subject in enumerate(subjects):
                name = f"{subject}_01_{short}"
                index.append((short, 250 * i, 250 * (i + 1), subject, name, 2.49))
        np.savez(folder / f"{part}.npz", **arrays)
        head = ("device", "start_row", "end_row", "subject", "execution", "duration_s")
        write_table(folder / f"{part}_index.csv", head, index)


@pytest.fixture(scope="session")
def voice_text() -> str:
    """A config of the voice task."""
    return VOICE_TOML


@pytest.fixture
def voice_toml(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(VOICE_TOML)
    return path


@pytest.fixture
def activity_toml(tmp_path: Path) -> Path:
    path = tmp_path / "moves.toml"
    path.write_text(ACTIVITY_TOML)
    return path
