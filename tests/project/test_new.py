"""`surnn new`: what it writes can be read, and trained with."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from surnn.dataset import Layout
from surnn.errors import InvalidInput
from surnn.project import Kind, new_project, write_example
from surnn.project.example import SOUNDS, STATES
from surnn.spec import Head
from surnn.train.config import read_config


def test_an_empty_project_has_a_config_that_can_be_read(tmp_path: Path) -> None:
    for kind in Kind:
        folder = tmp_path / kind.value
        new_project(folder, kind=kind)
        config = read_config(folder / "config.toml")
        assert config.task == kind.value
        assert config.model.name == kind.value
        assert (folder / "data" / "README.md").is_file()
        assert "surnn train config.toml" in (folder / "README.md").read_text()


def test_the_example_of_sounds(tmp_path: Path) -> None:
    folder = tmp_path / "My sounds!"
    found = new_project(folder, example=True)
    assert (found.labels, found.layout, found.group) == (SOUNDS, Layout.SEGMENTS, "place")
    config = read_config(folder / "config.toml")
    assert config.model.name == "my-sounds"
    assert (config.split.by, config.model.head) == ("place", Head.SIGMOID)
    assert (folder / "data" / "attic.flac").is_file()


def test_the_example_of_movements(tmp_path: Path) -> None:
    found = new_project(tmp_path / "move", kind=Kind.SENSOR, example=True)
    assert (set(found.labels), found.group) == (set(STATES), "person")
    assert found.columns.channels == ("x", "y", "z")
    assert found.sample_rate == 50
    assert read_config(tmp_path / "move" / "config.toml").model.head is Head.SOFTMAX


def test_examples_are_always_the_same(tmp_path: Path) -> None:
    for name in "ab":
        write_example(tmp_path / name, sensor=True, seconds=3.0)
    first, second = ((tmp_path / n / "ada.csv").read_text() for n in "ab")
    assert first == second


def test_clips_in_folders_with_a_background(tmp_path: Path) -> None:
    for label in ("dog", "cat", "silence"):
        (tmp_path / "in" / label).mkdir(parents=True)
        soundfile.write(tmp_path / "in" / label / "1.wav", np.zeros(8000), 8000)
    found = new_project(tmp_path / "pets", data=tmp_path / "in")
    assert (found.background, found.sample_rate, found.group) == ("silence", 8000, "group")
    config = read_config(tmp_path / "pets" / "config.toml")
    assert config.model.head is Head.SOFTMAX
    assert config.labels.background == "silence"
    assert config.model.frontend.f_max <= 4000
    assert config.data == str((tmp_path / "in").resolve())


def test_turns_of_speakers_become_speech(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", np.zeros(32000), 16000)
    (tmp_path / "in" / "a.rttm").write_text("SPEAKER a 1 0 1 <NA> <NA> ann <NA> <NA>\n")
    new_project(tmp_path / "who", data=tmp_path / "in")
    config = read_config(tmp_path / "who" / "config.toml")
    assert (config.labels.call, config.model.labels) == ("speech", ("speech",))


@pytest.mark.parametrize(
    ("times", "rate", "unit"),
    [
        ([f"{i * 20}" for i in range(5)], 50, "ms"),
        ([f"{i * 0.02:.2f}" for i in range(5)], 50, "s"),
        ([f"2024-01-01 00:00:{i:02d}" for i in range(5)], 1, "datetime"),
    ],
)
def test_the_unit_of_time_is_guessed_and_written_down(
    tmp_path: Path, times: list[str], rate: int, unit: str
) -> None:
    (tmp_path / "in").mkdir()
    with (tmp_path / "in" / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("time", "v", "label"), *((t, 1.5, "on") for t in times)])
    found = new_project(tmp_path / "p", kind=Kind.SENSOR, data=tmp_path / "in")
    assert (found.sample_rate, found.columns.time_unit) == (rate, unit)
    assert read_config(tmp_path / "p" / "config.toml").columns.channels == ("v",)


def test_what_cannot_become_a_project_is_refused(tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "x").touch()
    with pytest.raises(InvalidInput, match="is there already and not empty"):
        new_project(tmp_path / "used")
    with pytest.raises(InvalidInput, match="expected no data folder"):
        new_project(tmp_path / "new", data=tmp_path, example=True)
    with pytest.raises(InvalidInput, match="holds no audio"):
        new_project(tmp_path / "new", data=tmp_path / "used")
    assert not (tmp_path / "new").exists()
