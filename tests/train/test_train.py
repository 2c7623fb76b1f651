"""`surnn.train.train` from a config to a folder that can be served."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import surnn
from surnn import checkpoint
from surnn.errors import InvalidConfig, InvalidInput, SurnnError
from surnn.evaluate import evaluate
from surnn.train import train


def test_a_voice_run_leaves_a_model_that_can_be_served(
    world: Path, voice_toml: Path, tmp_path: Path
) -> None:
    out = train(voice_toml, world, tmp_path / "out", progress=False)
    assert {p.name for p in out.iterdir()} == {
        "README.md",
        "learning.png",
        "metrics.json",
        "model.onnx",
        "model.safetensors",
        "open_rate.png",
        "report.html",
        "roc.png",
        "spec.json",
        "switches.png",
    }
    model = surnn.load(out)
    assert model.spec.labels == ("speech",)
    assert model.spec.training["steps"] == 6
    assert model.spec.threshold == json.loads((out / "metrics.json").read_text())["threshold"]
    rule = model.spec.events[0]
    assert rule.off < model.spec.threshold < rule.on
    assert (rule.min_on, rule.min_off) == (0.05, 0.1)
    assert checkpoint.load(out).spec == model.spec
    result = evaluate(model, world / "voices")
    assert result["frames"] == 900


def test_the_same_seed_gives_the_same_weights(
    world: Path, voice_toml: Path, tmp_path: Path
) -> None:
    first, second = (
        checkpoint.load(train(voice_toml, world, tmp_path / name, progress=False))
        for name in ("a", "b")
    )
    for name, weight in first.state_dict().items():
        assert np.array_equal(weight, second.state_dict()[name]), name


def test_a_second_round_goes_on_with_other_clips(
    world: Path, voice_toml: Path, tmp_path: Path
) -> None:
    first = train(voice_toml, world, tmp_path / "one", progress=False)
    second = train(
        voice_toml, world, tmp_path / "two", steps=3, start=first, seed=9, progress=False
    )
    training = surnn.load(second).spec.training
    assert (training["seed"], training["steps"]) == (9, 3)
    assert training["options"] == ["--steps 3", "--start one", "--seed 9"]
    command = f"surnn train {voice_toml.name} --data DIR --steps 3 --start one --seed 9 --out tiny"
    assert command in (second / "README.md").read_text()
    a, b = (checkpoint.load(folder).state_dict() for folder in (first, second))
    assert any(not np.array_equal(a[name], b[name]) for name in a)


def test_an_activity_run_leaves_a_model_that_can_be_served(
    world: Path, activity_toml: Path, tmp_path: Path
) -> None:
    out = train(activity_toml, world, tmp_path / "out", progress=False)
    figures = json.loads((out / "metrics.json").read_text())
    assert figures["main"]["frames"] == 4 * 250
    assert (out / "confusion.png").is_file()
    model = surnn.load(out)
    with model.stream() as stream:
        (chunk,) = stream.feed(np.zeros((50, 6), np.float32))
    assert chunk.probs.shape == (50, 5)
    np.testing.assert_allclose(chunk.probs.sum(axis=1), 1.0, atol=1e-5)


def test_the_data_folder_may_stand_in_the_config(
    world: Path, activity_toml: Path, tmp_path: Path
) -> None:
    activity_toml.write_text(f'data = "{world}"\n' + activity_toml.read_text())
    assert (train(activity_toml, None, tmp_path / "out", progress=False) / "model.onnx").is_file()


def test_wrong_calls_are_refused_before_any_work(
    world: Path, voice_toml: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidConfig, match="no data folder"):
        train(voice_toml, None, tmp_path / "out")
    with pytest.raises(InvalidConfig, match="is not a folder"):
        train(voice_toml, tmp_path / "missing", tmp_path / "out")
    with pytest.raises(InvalidConfig, match="minutes is 0, expected more than 0"):
        train(voice_toml, world, tmp_path / "out", minutes=0)
    with pytest.raises(InvalidInput, match="no data set 'voices'"):
        train(voice_toml, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_diverging_loss_is_one_clear_error(
    world: Path, activity_toml: Path, tmp_path: Path
) -> None:
    text = activity_toml.read_text() + "\n[optimiser]\nlr = 1e30\nclip_norm = 1e30\nwarmup = 0.0\n"
    activity_toml.write_text(text.replace("steps = 4", "steps = 40"))
    with pytest.raises(SurnnError, match=r"loss is nan at step \d+, expected a finite number"):
        train(activity_toml, world, tmp_path / "out", progress=False)


def test_a_run_of_a_hybrid_leaves_a_model_that_can_be_served(
    activity_toml: Path, world: Path, tmp_path: Path
) -> None:
    """Plots and card too, for layers with and without switches."""
    layers = ", ".join(
        [
            "{ hidden = 8, switch = { frequencies = 4 } }",
            '{ cell = "lru", hidden = 8, block = {} }',
            '{ cell = "egru", hidden = 4 }',
        ]
    )
    old = '{ hidden = 8, switch = { mode = "clock+input", frequencies = 4 } }'
    text = activity_toml.read_text()
    assert old in text
    activity_toml.write_text(text.replace(old, layers))
    out = train(activity_toml, world, tmp_path / "hybrid", progress=False)
    assert [layer.cell for layer in surnn.load(out).spec.layers] == ["sugru", "lru", "egru"]
    assert "| 2 | lru | 8 |" in (out / "README.md").read_text()


def test_a_run_that_is_cut_off_goes_on_and_ends_the_same(
    world: Path, voice_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from surnn.train import loop

    whole = checkpoint.load(train(voice_toml, world, tmp_path / "whole", progress=False))
    out = tmp_path / "cut"
    with pytest.raises(InvalidConfig, match=r"no file .*run\.pt: no run was cut off"):
        train(voice_toml, world, out, resume=True, progress=False)
    step = loop._Run.step

    def interrupted(self: loop._Run, number: int, *rest: object) -> None:
        if number == 4:
            raise KeyboardInterrupt
        step(self, number, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(loop._Run, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(voice_toml, world, out, progress=False)
    assert (out / "run.pt").is_file()
    monkeypatch.setattr(loop._Run, "step", step)
    resumed = checkpoint.load(train(voice_toml, world, out, resume=True, progress=False))
    assert not (out / "run.pt").exists()
    assert resumed.spec.training["steps"] == 6
    for name, weight in whole.state_dict().items():
        assert np.array_equal(weight, resumed.state_dict()[name]), name
