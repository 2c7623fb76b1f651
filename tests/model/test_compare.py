"""A model beside other detectors on the same recordings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from surnn import compare as module
from surnn.bench.detectors import Detector, detectors
from surnn.compare import compare
from surnn.errors import InvalidConfig, MissingDependency
from surnn.evaluate import evaluate
from surnn.model import Model
from surnn.types import Float32

HEAD = "file,start_s,end_s,label,room,speaker\n"


@pytest.fixture
def folder(tmp_path: Path, bursts: Callable[..., Float32]) -> Path:
    """A burst at each of two rates, and quiet."""
    soundfile.write(tmp_path / "one.wav", bursts(3.0, (1.0, 2.0)), 16_000)
    soundfile.write(tmp_path / "low.wav", bursts(2.0, (0.5, 1.5), rate=8_000), 8_000)
    soundfile.write(tmp_path / "quiet.wav", bursts(1.0), 16_000)
    (tmp_path / "segments.csv").write_text(
        f"{HEAD}one.wav,1.0,2.0,speech,small,x\nlow.wav,0.5,1.5,speech,large,y\n"
        "quiet.wav,,,,small,\n"
    )
    return tmp_path


def loud(pcm: Any) -> Float32:
    """Speech is what is loud: a detector without a network."""
    frames = pcm[: len(pcm) // 160 * 160].reshape(-1, 160).astype(np.float32)
    level = np.abs(frames).mean(axis=1) / 32768.0
    return np.minimum(10.0 * level, 1.0).astype(np.float32)


@pytest.fixture
def one_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Detector("loudness", "7", 0.3, 0.01, loud)
    monkeypatch.setattr(module, "detectors", lambda: [peer])


@pytest.mark.usefixtures("one_peer")
def test_all_are_measured_on_the_same_frames(folder: Path, audio_model: Model) -> None:
    figures = compare(audio_model, folder)
    json.dumps(figures)
    found: Any = figures["detectors"]
    assert list(found) == [audio_model.spec.name, "loudness"]
    own, peer = (d["all"] for d in found.values())
    alone = evaluate(audio_model, folder)
    assert own["accuracy"] == alone["accuracy"]
    assert own["open_rate"] == pytest.approx(alone["open_rate"])
    assert own["frames"] == peer["frames"] == 600
    assert peer["accuracy"] > 0.97
    assert peer["auc"] > 0.99
    assert peer["events"]["found"] == peer["events"]["truth"] == 2
    assert peer["events"]["false"] == 0
    assert "open_rate" not in peer
    assert found["loudness"]["threshold"] == 0.3
    assert figures["thresholds_of_peers"] == "as documented"


@pytest.mark.usefixtures("one_peer")
def test_columns_of_the_table_are_measured_apart(folder: Path, audio_model: Model) -> None:
    found: Any = compare(audio_model, folder)["detectors"]
    rooms = found["loudness"]["by"]
    assert list(rooms) == ["room"], "speakers are too many to list"
    assert {k: v["frames"] for k, v in rooms["room"].items()} == {"large": 200, "small": 400}


@pytest.mark.usefixtures("one_peer")
def test_thresholds_of_peers_can_be_chosen_elsewhere(folder: Path, audio_model: Model) -> None:
    figures = compare(audio_model, folder, tune=folder)
    found: Any = figures["detectors"]
    assert found[audio_model.spec.name]["threshold"] == audio_model.spec.threshold
    tuned = found["loudness"]
    assert tuned["all"]["accuracy"] >= 0.98
    assert tuned["rule"]["min_on"] >= 0.01
    assert figures["thresholds_of_peers"] == f"chosen on {folder.name}"


@pytest.mark.usefixtures("one_peer")
def test_only_speech_can_be_compared(folder: Path, sensor_model: Model) -> None:
    with pytest.raises(InvalidConfig, match="expected 'speech' alone"):
        compare(sensor_model, folder)


def test_without_any_peer_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surnn.bench.detectors.silero_vad", lambda: None)
    monkeypatch.setattr("surnn.bench.detectors.find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match="pip install silero-vad"):
        detectors()


def test_installed_detectors_score_every_frame(bursts: Callable[..., Float32]) -> None:
    try:
        found = detectors()
    except MissingDependency as error:
        pytest.skip(str(error))
    pcm = (bursts(2.0, (0.5, 1.5)) * 32767).astype(np.int16)
    for detector in found:
        scores = detector.scores(pcm)
        assert scores.shape == (200,)
        assert ((scores >= 0) & (scores <= 1)).all()
        assert detector.scores(pcm[:100]).shape == (0,)
