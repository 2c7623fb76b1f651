"""Telemetry scored as SKAB and NAB do, at the model's rule or at chosen thresholds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import surnn
from surnn.errors import InvalidConfig, InvalidInput
from surnn.evaluate_telemetry import evaluate_telemetry
from surnn.model import Model


def table(path: Path, seed: int, rows: int = 560, *, labelled: bool = True) -> None:
    """A sine in noise that is wrong from row 450 to 500."""
    rng = np.random.default_rng(seed)
    values = np.sin(np.arange(rows) / 5.0) + 0.1 * rng.standard_normal(rows)
    values[450:500] += 6.0
    lines = ["timestamp,value" + (",anomaly,changepoint" if labelled else "")]
    for i, v in enumerate(values):
        more = f",{int(450 <= i < 500)},{int(i in (450, 500))}" if labelled else ""
        lines.append(f"2024-01-01 {i // 60:02d}:{i % 60:02d}:00,{v:.4f}{more}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def machine() -> Model:
    return surnn.load("machine", runtime="onnx")


def test_rows_are_scored_beside_baselines(tmp_path: Path, machine: Model) -> None:
    table(tmp_path / "a" / "1.csv", 1)
    table(tmp_path / "b" / "2.csv", 2)
    figures = evaluate_telemetry(machine, tmp_path, files=["a/*"]).figures
    json.dumps(figures, allow_nan=False)
    assert figures["data"] == {"folder": tmp_path.name, "part": "a/*", "recordings": 1}
    assert (figures["scores"], figures["rows"], figures["changepoints"]) == ("rows", 560, 2)
    assert isinstance(figures["f1"], float)
    assert figures["f1"] > 0.5
    assert isinstance(figures["open_rate"], float)
    assert 0.0 < figures["open_rate"] < 0.6
    files = figures["files"]
    assert isinstance(files, dict)
    assert files["a/1.csv"]["f1"] == figures["f1"]
    assert figures["thresholds"] == "the model's"
    baselines = figures["baselines"]
    assert isinstance(baselines, dict)
    assert set(baselines) == {"no network", "T-squared"}
    assert {b["threshold"] for b in baselines.values()} == {figures["threshold"]}


def test_thresholds_are_chosen_on_other_series(tmp_path: Path, machine: Model) -> None:
    table(tmp_path / "test" / "1.csv", 1)
    table(tmp_path / "tune" / "2.csv", 2)
    own = evaluate_telemetry(machine, tmp_path / "test").figures
    figures = evaluate_telemetry(machine, tmp_path / "test", tune=tmp_path / "tune").figures
    assert figures["thresholds"] == "chosen on tune"
    assert figures["threshold"] != own["threshold"]
    baselines = figures["baselines"]
    assert isinstance(baselines, dict)
    assert baselines["no network"]["f1"] > 0.8


def test_windows_are_scored_as_nab_does(tmp_path: Path, machine: Model) -> None:
    table(tmp_path / "load.csv", 3, labelled=False)
    (tmp_path / "anomaly_windows.csv").write_text(
        "file,window_start,window_end\nload.csv,2024-01-01 07:25:00,2024-01-01 08:20:00\n"
    )
    figures = evaluate_telemetry(machine, tmp_path).figures
    assert (figures["scores"], figures["windows"], figures["windows_found"]) == ("windows", 1, 1)
    assert isinstance(figures["nab"], float)
    assert 50.0 < figures["nab"] <= 100.0


def test_folders_that_cannot_be_scored_are_refused(
    tmp_path: Path, machine: Model, audio_model: Model
) -> None:
    with pytest.raises(InvalidInput, match="is not a folder, expected one with tables"):
        evaluate_telemetry(machine, tmp_path / "none")
    table(tmp_path / "bare" / "1.csv", 1, labelled=False)
    with pytest.raises(InvalidInput, match="no table has a column 'anomaly' or 'changepoint'"):
        evaluate_telemetry(machine, tmp_path / "bare")
    table(tmp_path / "short" / "1.csv", 1, rows=300)
    with pytest.raises(InvalidInput, match=r"1\.csv: 300 rows, expected more than the 400"):
        evaluate_telemetry(machine, tmp_path / "short")
    with pytest.raises(InvalidInput, match=r"no table matches \['x/\*'\]"):
        evaluate_telemetry(machine, tmp_path / "short", files=["x/*"])
    table(tmp_path / "good" / "1.csv", 1)
    (tmp_path / "bare" / "anomaly_windows.csv").write_text("file,window_start,window_end\n")
    with pytest.raises(InvalidInput, match="labels of another kind"):
        evaluate_telemetry(machine, tmp_path / "good", tune=tmp_path / "bare")
    with pytest.raises(InvalidConfig, match="expected forecasts and a rule"):
        evaluate_telemetry(audio_model, tmp_path / "good")
