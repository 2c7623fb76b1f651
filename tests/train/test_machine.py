"""Forecasts of telemetry: targets, the sets' own scores by hand, a whole small run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import surnn
from surnn.anomaly import HORIZONS, Verdict, Watcher
from surnn.anomaly_measures import nab_score, row_scores, standstill_errors, t_squared_errors
from surnn.dataset.telemetry import Telemetry
from surnn.errors import InvalidConfig, InvalidInput
from surnn.train import train
from surnn.train.config import read_config
from surnn.train.machine import MachineTask
from surnn.train.measure import measure
from surnn.types import Event, EventKind

TOML = """
task = "machine"
seed = 3

[model]
name = "pump"
sample_rate = 1
hop = 1
labels = ["ahead_1", "ahead_30"]
head = "linear"
layers = [{ hidden = 8, switch = { frequencies = 4 } }]

[budget]
minutes = 5
steps = 4
batch = 3
seconds = 60
validate_steps = 2

[machine.rule]
warm_up = 80

[[machine.sets]]
folder = "pumps"
licence = "CC0"
source = "Made for this test"
role = "train"
files = ["well/*"]

[[machine.sets]]
folder = "pumps"
licence = "CC0"
role = "valid"
files = ["ill/1.csv"]

[[machine.sets]]
folder = "pumps"
licence = "CC0"
role = "test"
files = ["ill/2.csv"]
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pump that is well for 400 rows, and two that are ill from row 200 to 260."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name, rows in (("well/0.csv", 400), ("ill/1.csv", 320), ("ill/2.csv", 320)):
        path = root / "pumps" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = rng.standard_normal((rows, 2)) + np.array([5.0, -2.0])
        ill = np.zeros(rows, np.int64)
        if name.startswith("ill"):
            ill[200:260] = 1
        values[ill > 0] += 6.0
        lines = ["datetime;a;b;anomaly;changepoint"]
        for i, (row, bad) in enumerate(zip(values, ill, strict=True)):
            moment = f"2020-01-01 00:{i // 60:02d}:{i % 60:02d}"
            change = int("ill" in name and i in (200, 260))
            lines.append(f"{moment};{row[0]:.4f};{row[1]:.4f};{bad};{change}")
        path.write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "pump.toml"
    path.write_text(TOML)
    return path


def series(rows: int, *windows: tuple[int, int], channels: int = 1) -> Telemetry:
    anomaly = np.zeros(rows, np.bool_)
    changes = np.zeros(rows, np.bool_)
    for first, last in windows:
        anomaly[first : last + 1] = True
        changes[[first, last + 1]] = True
    rng = np.random.default_rng(1)
    values = rng.standard_normal((rows, channels)).astype(np.float32)
    return Telemetry("made", values, anomaly, changes, windows)


def verdict(first: int, rows: int, spans: list[tuple[int, int]], *starts: int) -> Verdict:
    called = np.zeros(rows, np.bool_)
    for a, b in spans:
        called[a : b + 1] = True
    events = [Event("anomaly", EventKind.START, float(t), 3.0) for t in starts]
    events += [Event("changepoint", EventKind.POINT, float(t), 3.0) for t in starts]
    return Verdict(first, np.zeros(rows - first), called[first:], tuple(events))


def test_targets_are_the_rows_that_come(config: Path, data: Path) -> None:
    task = MachineTask(read_config(config), data)
    batch, again = task.batch(7), task.batch(7)
    assert batch.frames.equal(again.frames)
    frames, targets = batch.frames[..., 0].numpy(), batch.targets.numpy()
    assert frames.shape == (3, 60)
    assert targets.shape == (3, 60, 2)
    for column, ahead in enumerate(HORIZONS):
        np.testing.assert_array_equal(targets[:, : 60 - ahead, column], frames[:, ahead:])


def test_rows_are_scored_as_skab_does() -> None:
    one = series(200, (100, 149))
    # 40 of 50 rows found, 10 false ones; the first change met after 10 rows, the second never.
    scores = row_scores([one], [verdict(20, 200, [(110, 149), (30, 39)], 30, 110)])
    assert scores["f1"] == pytest.approx(2 * 40 / (2 * 40 + 10 + 10))
    assert scores["far_percent"] == pytest.approx(100 * 10 / 150)
    assert scores["mar_percent"] == pytest.approx(20.0)
    assert (scores["changepoints"], scores["changepoints_met"]) == (2, 1)
    assert scores["delay_rows_median"] == 10.0
    assert scores["false_changepoints"] == 1
    assert scores["rows"] == 200


def test_windows_are_scored_as_nab_does() -> None:
    one = series(1000, (500, 599))
    nothing = nab_score([one], [verdict(100, 1000, [])], 100)
    assert nothing["nab"] == 0.0
    at_once = nab_score([one], [verdict(100, 1000, [], 500)], 100)
    assert at_once["nab"] == pytest.approx(100.0)
    late = nab_score([one], [verdict(100, 1000, [], 599)], 100)
    assert 0.0 < late["nab"] < 60.0
    twice = nab_score([one], [verdict(100, 1000, [], 500, 550)], 100)
    assert twice["nab"] == at_once["nab"]  # more alarms in a window do not count
    false = nab_score([one], [verdict(100, 1000, [], 200, 500)], 100)
    assert false["nab"] == pytest.approx(100.0 - 100 * 0.11 / 2)
    assert (false["windows_found"], false["false_alarms"]) == (1, 1)


def test_t_squared_is_the_distance_under_the_covariance() -> None:
    one = series(300, channels=3)
    warm: NDArray[np.float64] = one.values[:100].astype(np.float64)
    inverse = np.linalg.inv(np.cov(warm.T))
    expected = [(r - warm.mean(0)) @ inverse @ (r - warm.mean(0)) for r in one.values]
    np.testing.assert_allclose(t_squared_errors(one, 100)[:, 0] ** 2, expected, rtol=1e-4)
    assert standstill_errors(one, 100)[:100].std(axis=0) == pytest.approx(np.ones(3))


def test_a_run_leaves_a_model_that_watches(config: Path, data: Path, tmp_path: Path) -> None:
    out = train(config, data, tmp_path / "out", progress=False)
    figures = json.loads((out / "metrics.json").read_text())
    groups = {g["group"]: g for g in figures["groups"]}
    assert set(groups) == {
        f"{who}, rows, {part}"
        for who in ("model", "no network", "T-squared")
        for part in ("valid", "test")
    }
    assert groups["no network, rows, test"]["f1"] > 0.75
    assert figures["speed"]["realtime_factor"] > 0
    card = (out / "README.md").read_text()
    assert "| T-squared, rows, test |" in card
    model = surnn.load(out)
    assert model.spec.anomaly is not None
    assert model.spec.anomaly.on == figures["thresholds"]["rows"]
    watcher = Watcher(model, 2)
    judged = watcher.push(np.zeros((90, 2)))
    watcher.close()
    assert judged.scores[:80].tolist() == [0.0] * 80

    before = (out / "model.safetensors").read_bytes()
    (out / "README.md").unlink()
    measure(config, data, out)
    assert (out / "model.safetensors").read_bytes() == before
    assert "| T-squared, rows, test |" in (out / "README.md").read_text()
    assert json.loads((out / "metrics.json").read_text())["groups"] == figures["groups"]


def test_data_to_learn_and_to_choose_by_must_be_there(config: Path, data: Path) -> None:
    config.write_text(TOML.replace("seconds = 60", "seconds = 600"))
    with pytest.raises(InvalidInput, match=r"has 651 rows without an anomaly"):
        MachineTask(read_config(config), data)
    config.write_text(TOML.replace('role = "valid"', 'role = "test"'))
    with pytest.raises(InvalidConfig, match="no set has the role 'valid'"):
        MachineTask(read_config(config), data)
