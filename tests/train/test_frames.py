"""Training on one's own recordings, from a new project to figures of an untouched part."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import surnn
from surnn.dataset import Part
from surnn.dataset.record import read_record
from surnn.errors import InvalidConfig, InvalidInput
from surnn.evaluate import evaluate
from surnn.project import Kind, new_project, write_example
from surnn.train import train
from surnn.train.config import read_config
from surnn.train.frames import FramesTask
from surnn.train.loop import fit
from surnn.train.report import switch_health


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _project(tmp_path_factory.mktemp("sounds") / "sounds", Kind.AUDIO)


@pytest.fixture(scope="module")
def moves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _project(tmp_path_factory.mktemp("moves") / "moves", Kind.SENSOR)


def _project(folder: Path, kind: Kind) -> Path:
    new_project(folder, kind=kind, example=True)
    write_example(folder / "data", sensor=kind is Kind.SENSOR, seconds=8.0)
    path = folder / "config.toml"
    text = path.read_text()
    text = text.replace("hidden = 64", "hidden = 16").replace("hidden = 48", "hidden = 8")
    text = text.replace("hidden = 32", "hidden = 8").replace("batch = 16", "batch = 3")
    text = text.replace("seconds = 4.0", "seconds = 1.5").replace("seconds = 8.0", "seconds = 2.0")
    path.write_text(text)
    return folder


@pytest.fixture(scope="module")
def trained(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "model"
    return train(sounds / "config.toml", None, out, steps=4, progress=False)


def test_a_run_leaves_a_model_its_figures_and_what_it_knew(trained: Path, sounds: Path) -> None:
    model = surnn.load(trained)
    record = read_record(trained)
    assert record is not None
    parts = [record.names(p) for p in Part]
    assert all(parts)
    assert sum(map(len, parts)) == 6
    figures = json.loads((trained / "metrics.json").read_text())
    again = evaluate(model, sounds / "data", part=Part.TEST, record=record)
    assert again["labels"].keys() == {"beep", "knock", "whistle"}  # type: ignore[attr-defined]
    assert figures["test"]["auc"] == pytest.approx(again["auc"])
    assert figures["test"]["data"] == {
        "folder": "data",
        "part": "test",
        "recordings": len(record.names(Part.TEST)),
        "groups": len(record.names(Part.TEST)),
    }
    assert set(again["files"]) == record.names(Part.TEST)  # type: ignore[call-overload]


def test_the_card_and_the_report_tell_of_the_test_part(trained: Path) -> None:
    page = (trained / "report.html").read_text()
    for words in (
        "kept apart by place",
        "Nothing was chosen on them",
        "Detection error trade-off",
        "Calibration",
        "never open",
        "Recordings, the worst first",
        "surnn train",
    ):
        assert words in page
    # Self-contained: whatever it links to lies in the page itself.
    assert "http" not in page.replace("http://www.w3.org/", "")
    assert "<script" not in page
    card = (trained / "README.md").read_text()
    assert "groups" in card


def test_sensor_tables_train_too(moves: Path, tmp_path: Path) -> None:
    out = train(moves / "config.toml", None, tmp_path / "out", steps=3, progress=False)
    figures = json.loads((out / "metrics.json").read_text())
    assert np.array(figures["test"]["confusion"]).sum() == figures["test"]["frames"]
    spec = surnn.load(out).spec
    assert (spec.channels, spec.sample_rate) == (3, 50)
    # Scaled by the training part alone: the third axis carries gravity.
    assert spec.frontend.mean[2] == pytest.approx(9.8, abs=1.0)  # type: ignore[union-attr]


def test_clips_repeat_and_tell_the_truth(sounds: Path) -> None:
    config = read_config(sounds / "config.toml")
    task = FramesTask(config, sounds / "data")
    first, second = task.batch(3), task.batch(3)
    assert torch.equal(first.frames, second.frames)
    assert first.frames.shape == (3, 150, 160)
    assert not torch.equal(first.frames, task.batch(4).frames)
    held = task.split.of(Part.VALID) | task.split.of(Part.TEST)
    assert not {r.name for r in task.tape.reels} & held
    # Over many clips every label is heard.
    seen = sum(task.batch(i).targets.sum(dim=(0, 1)) for i in range(10))
    assert bool((seen > 0).all())


def test_answers_wait_for_the_lookahead(sounds: Path) -> None:
    config = read_config(sounds / "config.toml")
    now = config.model_copy(update={"model": config.model.model_copy(update={"lookahead": 0})})
    late = FramesTask(config, sounds / "data").batch(0).targets
    prompt = FramesTask(now, sounds / "data").batch(0).targets
    assert torch.equal(late[:, config.model.lookahead :], prompt[:, : -config.model.lookahead])


def test_patience_ends_a_run(sounds: Path, tmp_path: Path) -> None:
    text = (sounds / "config.toml").read_text()
    text = text.replace("validate_steps = 100", "validate_steps = 1")
    text = text.replace("patience = 8", "patience = 2").replace("lr = 4e-3", "lr = 1e-9")
    text = text.replace("steps = 1500", "steps = 12").replace("data = ", "# ")
    (tmp_path / "config.toml").write_text(text.replace("switch_lr = 8e-3", "switch_lr = 1e-9"))
    config = read_config(tmp_path / "config.toml")
    found = fit(FramesTask(config, sounds / "data"), config, progress=False)
    assert len(found.history.steps) < 12


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"whistle"]', '"whisle"]', r"segments\.csv:\d+: label is 'whistle', expected one of"),
        ('by = "place"', 'by = "group"', "nothing says who or what"),
        ("sample_rate = 16000", "sample_rate = 48000", "16000 samples per second, expected at"),
    ],
)
def test_data_that_do_not_fit_are_refused_before_training(
    sounds: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "config.toml"
    text = (sounds / "config.toml").read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InvalidInput, match=message):
        train(path, sounds / "data", tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_configs_that_cannot_work_are_refused(sounds: Path, moves: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    text = (sounds / "config.toml").read_text()
    path.write_text(text.replace("[labels]", '[labels]\nbackground = "hush"'))
    with pytest.raises(InvalidConfig, match=r"labels\.background is 'hush', expected one of"):
        read_config(path)
    text = (moves / "config.toml").read_text()
    path.write_text(text.replace("channels = [", "channels = [] # ["))
    with pytest.raises(InvalidConfig, match=r"task 'sensor' needs columns\.channels"):
        read_config(path)


def test_dead_and_always_open_switches_are_named() -> None:
    (one,) = switch_health([np.array([0.0, 0.5, 1.0, 0.0005], np.float32)])
    assert (one["dead"], one["always_open"]) == ([0, 3], [2])
