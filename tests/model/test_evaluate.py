"""Scoring a folder of labelled recordings, with a model that tells loud from quiet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from surnn.errors import InvalidAudio, InvalidInput
from surnn.evaluate import audio_files, evaluate
from surnn.model import Model
from surnn.types import Float32

HEAD = "file,start_s,end_s,label\n"
MEASURES = {
    "frames",
    "accuracy",
    "f1",
    "auc",
    "false_alarm_rate",
    "miss_rate",
    "open_rate",
    "open_rate_layers",
    "open_rate_speech",
    "open_rate_nonspeech",
    "seconds",
    "realtime_factor",
}


@pytest.fixture
def folder(tmp_path: Path, bursts: Callable[..., Float32]) -> Path:
    """Four recordings: two with a burst (one of them nested, 8 kHz), quiet, stereo."""
    (tmp_path / "calls").mkdir()
    soundfile.write(tmp_path / "one.wav", bursts(3.0, (1.0, 2.0)), 16_000)
    low = bursts(2.0, (0.5, 1.5), rate=8_000)
    soundfile.write(tmp_path / "calls" / "low.flac", low, 8_000)
    soundfile.write(tmp_path / "quiet.flac", bursts(1.0), 16_000)
    stereo = np.stack([bursts(1.0, (0.0, 1.0))] * 2, axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, 44_100)
    (tmp_path / "notes.txt").write_text("not audio")
    (tmp_path / "segments.csv").write_text(
        f"{HEAD}one.wav,1.0,2.0,speech\ncalls/low.flac,0.5,1.5,speech\n"
        "stereo.wav,0,0.362,speech\none.wav,0.2,0.4,cough\n"
    )
    return tmp_path


def test_every_file_counts_and_edges_are_found(folder: Path, audio_model: Model) -> None:
    result = evaluate(audio_model, folder)
    files = result["files"]
    assert isinstance(files, dict)
    assert list(files) == ["calls/low.flac", "one.wav", "quiet.flac", "stereo.wav"]
    assert set(result) >= MEASURES
    assert all(set(row) == MEASURES | {"labels"} for row in files.values())
    assert files["one.wav"]["accuracy"] > 0.98
    assert files["calls/low.flac"]["accuracy"] > 0.97
    assert files["one.wav"]["frames"] == 300
    assert abs(files["calls/low.flac"]["frames"] - 200) <= 1
    assert result["frames"] == sum(row["frames"] for row in files.values())


def test_one_class_files_have_no_auc(folder: Path, audio_model: Model) -> None:
    files = evaluate(audio_model, folder)["files"]
    assert isinstance(files, dict)
    assert files["quiet.flac"]["auc"] is None
    assert files["quiet.flac"]["miss_rate"] is None
    assert files["quiet.flac"]["open_rate_speech"] is None
    assert files["quiet.flac"]["accuracy"] == 1.0
    assert files["one.wav"]["auc"] > 0.99


def test_figures_are_plain_json_and_weighted_by_frames(folder: Path, audio_model: Model) -> None:
    result = json.loads(json.dumps(evaluate(audio_model, folder), allow_nan=False))
    rows = result["files"].values()
    for measure in ("accuracy", "open_rate"):
        mean = sum(r[measure] * r["frames"] for r in rows) / result["frames"]
        assert result[measure] == pytest.approx(mean, abs=1e-6)
    wrong = (1 - result["accuracy"]) * result["frames"]
    truth = 100 + 100 + 36
    expected = result["miss_rate"] * truth + result["false_alarm_rate"] * (result["frames"] - truth)
    assert wrong == pytest.approx(expected, abs=0.6 + 1e-6)


def test_open_rates_are_those_of_the_stream(folder: Path, audio_model: Model) -> None:
    files = evaluate(audio_model, folder)["files"]
    assert isinstance(files, dict)
    samples, _ = soundfile.read(folder / "one.wav", dtype="float32")
    with audio_model.stream() as stream:
        stream.feed(samples)
        stream.finish()
        sparsity = stream.sparsity
    assert files["one.wav"]["open_rate_layers"] == pytest.approx(sparsity.open_rate, abs=1e-6)
    assert files["one.wav"]["open_rate"] == pytest.approx(
        sparsity.updates / sparsity.possible, abs=1e-6
    )


def test_the_threshold_is_the_models(folder: Path, audio_model: Model) -> None:
    spec = audio_model.spec.model_copy(update={"threshold": 1.0})
    deaf = Model(type(audio_model.runtime)(spec))  # type: ignore[call-arg]
    result = evaluate(deaf, folder)
    assert (result["miss_rate"], result["false_alarm_rate"]) == (1.0, 0.0)
    assert result["auc"] == evaluate(audio_model, folder)["auc"]


def test_progress_tells_the_seconds_of_each_file(folder: Path, audio_model: Model) -> None:
    heard: dict[str, float] = {}

    def progress(name: str, seconds: float) -> None:
        heard[name] = heard.get(name, 0.0) + seconds

    evaluate(audio_model, folder, progress=progress)
    assert heard["one.wav"] == pytest.approx(3.0)
    assert heard["calls/low.flac"] == pytest.approx(2.0)


def test_names_are_relative_sorted_and_audio_only(folder: Path) -> None:
    (folder / ".hidden.wav").write_bytes(b"")
    (folder / "MORE.WAV").write_bytes((folder / "one.wav").read_bytes())
    assert audio_files(folder) == [
        "MORE.WAV",
        "calls/low.flac",
        "one.wav",
        "quiet.flac",
        "stereo.wav",
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("two.wav,0,1,speech", "segments.csv:2: no audio file 'two.wav'"),
        ("one.wav,0,9,speech", "segments.csv:2: end_s is 9, but one.wav ends at 3.000 s"),
        ("one.wav,a,9,speech", "segments.csv:2: start_s is 'a'"),
        ("one.wav,0,1,Speech", r"labels are \['Speech'\], expected 'speech' among them"),
    ],
)
def test_wrong_labels_are_refused(folder: Path, audio_model: Model, row: str, message: str) -> None:
    (folder / "segments.csv").write_text(f"{HEAD}{row}\n")
    with pytest.raises(InvalidInput, match=message):
        evaluate(audio_model, folder)


def test_a_table_without_rows_is_a_folder_without_speech(folder: Path, audio_model: Model) -> None:
    (folder / "segments.csv").write_text(HEAD)
    result = evaluate(audio_model, folder)
    assert result["miss_rate"] is None
    assert result["auc"] is None


def test_a_folder_without_table_or_audio_is_refused(tmp_path: Path, audio_model: Model) -> None:
    with pytest.raises(InvalidInput, match="holds no audio"):
        evaluate(audio_model, tmp_path)
    with pytest.raises(InvalidInput, match="is not a folder"):
        evaluate(audio_model, tmp_path / "missing")
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16_000)
    with pytest.raises(InvalidInput, match=r"holds audio and no labels, expected segments\.csv"):
        evaluate(audio_model, tmp_path)


def test_a_text_file_called_wav_is_refused_by_name(folder: Path, audio_model: Model) -> None:
    (folder / "fake.wav").write_text("This is not audio.")
    with pytest.raises(InvalidAudio, match=r"fake.wav"):
        evaluate(audio_model, folder)


def test_a_sensor_model_wants_tables_of_samples(folder: Path, sensor_model: Model) -> None:
    with pytest.raises(InvalidInput, match="holds no tables of samples"):
        evaluate(sensor_model, folder)
