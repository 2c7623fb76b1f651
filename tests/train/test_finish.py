"""The last step of a voice model: calibration, thresholds, report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import surnn
from surnn.bench.detectors import Detector
from surnn.errors import InvalidConfig
from surnn.nn import Network
from surnn.spec import Head
from surnn.train import train
from surnn.train.config import read_config
from surnn.train.finish import Calibration, apply, calibrate, finish
from surnn.train.held_out import recordings, write


def test_calibration_finds_the_scale_and_shift_that_were_put_in() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(0.0, 2.0, 200_000)
    truth = rng.random(len(logit)) < 1.0 / (1.0 + np.exp(-logit))
    # Too sure by a factor of two, and half a unit too low.
    seen = 1.0 / (1.0 + np.exp(-(2.0 * logit - 0.5)))
    found = calibrate(seen.astype(np.float32), truth)
    assert found.scale == pytest.approx(0.5, abs=0.02)
    assert found.shift == pytest.approx(0.25, abs=0.02)


def test_one_kind_of_frame_cannot_be_calibrated_on() -> None:
    with pytest.raises(InvalidConfig, match="one kind"):
        calibrate(np.full(4, 0.5, np.float32), np.ones(4, np.bool_))


def test_calibration_becomes_part_of_the_head(voice_toml: Path, world: Path) -> None:
    from surnn.train.voice import VoiceTask

    network = Network(VoiceTask(read_config(voice_toml), world).spec)
    frames = torch.randn(1, 20, 160) * 0.1
    before = network(frames).logits
    apply(network, Calibration(0.5, 0.25))
    torch.testing.assert_close(network(frames).logits, 0.5 * before + 0.25)
    network.spec = network.spec.model_copy(update={"head": Head.SOFTMAX})
    with pytest.raises(InvalidConfig, match="expected 'sigmoid'"):
        apply(network, Calibration(1.0, 0.0))


def test_a_model_is_finished(
    voice_toml: Path, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = voice_toml.read_text()
    test_sets = text[text.index("[[audio.sets]]") :].replace('role = "train"', 'role = "none"')
    parts = [p for p in test_sets.split("[[audio.sets]]") if 'role = "valid"' in p]
    for part in parts:
        text += "\n[[audio.sets]]" + part.replace('role = "valid"', 'role = "test"')
    voice_toml.write_text(text)
    folder = train(voice_toml, world, tmp_path / "model", progress=False)
    audio = read_config(voice_toml).audio
    assert audio is not None
    for role in ("valid", "test"):
        write(recordings(audio, world, role, streams=1), tmp_path / role)
    peer = Detector("half", "1", 0.5, 0.01, lambda pcm: np.full(len(pcm) // 160, 0.5, np.float32))
    monkeypatch.setattr("surnn.compare.detectors", lambda: [peer])
    card = finish(voice_toml, folder, tmp_path / "valid", tmp_path / "test").read_text()
    assert "| half 1 | 0.500 |" in card
    assert "Recordings without speech" in card
    figures = json.loads((folder / "metrics.json").read_text())
    measured = figures["held_out"]["detectors"]["tiny"]
    spec = surnn.load(folder, "onnx").spec
    assert spec.threshold == measured["threshold"]
    assert spec.events[0].on == measured["rule"]["on"]
    assert figures["calibration"]["scale"] != 1.0
    assert measured["by"]["alone"]["digital silence"]["open_rate"] > 0.0
