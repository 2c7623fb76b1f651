"""Anomalies by forecasts' errors: judged against sums written out, and the same in any chunks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import surnn
from surnn import checkpoint
from surnn.anomaly import HORIZONS, AnomalyRule, Judge, Watcher, first_scale, forecast_errors
from surnn.errors import InvalidConfig, InvalidShape
from surnn.export import export
from surnn.nn import Network
from surnn.spec import Head, LayerSpec, ModelKind, ModelSpec, ScaleFrontEnd, SwitchSpec
from surnn.types import EventKind

RULE = AnomalyRule(warm_up=100, smooth=5, on=3.0, hold=2)


@pytest.fixture(scope="module")
def forecaster(tmp_path_factory: pytest.TempPathFactory) -> surnn.Model:
    """Untrained: what it foresees is of no use, but always the same."""
    spec = ModelSpec(
        name="forecaster",
        kind=ModelKind.SENSOR,
        sample_rate=1,
        hop=1,
        channels=1,
        frontend=ScaleFrontEnd(mean=(0.0,), scale=(1.0,)),
        layers=(LayerSpec(hidden=8, switch=SwitchSpec(frequencies=4)),),
        labels=tuple(f"ahead_{h}" for h in HORIZONS),
        head=Head.LINEAR,
    )
    folder = tmp_path_factory.mktemp("forecaster")
    network = Network(spec)
    checkpoint.save(network, folder)
    export(network, folder)
    return surnn.load(folder, runtime="onnx")


def machine(rows: int = 600) -> NDArray[np.float64]:
    """Three channels that are well until row 300, and again from row 400."""
    rng = np.random.default_rng(2)
    values = rng.standard_normal((rows, 3)) * (0.1, 5.0, 2.0) + (1.0, 200.0, -3.0)
    values[300:400] += (1.0, 40.0, 20.0)
    return values


def test_scores_are_the_smoothed_ratio_of_squares() -> None:
    rng = np.random.default_rng(0)
    warm, errors = rng.standard_normal((100, 2)), 3.0 * rng.standard_normal((40, 2))
    rule = RULE.model_copy(update={"on": 1e9})
    verdict = Judge(rule, warm).push(errors)
    usual, score = (warm[max(HORIZONS) :] ** 2).mean(axis=0), 1.0
    keep = 0.5 ** (1.0 / rule.half_life)
    for error, seen in zip(errors, verdict.scores, strict=True):
        score += (np.minimum(error**2 / usual, rule.cap).mean() - score) / rule.smooth
        assert seen == pytest.approx(score)
        usual = keep * usual + (1 - keep) * np.minimum(error**2, rule.cap * usual)
    assert verdict.first_row == 100
    assert not verdict.anomaly.any()


def test_an_anomaly_begins_and_ends_when_the_score_holds() -> None:
    errors = np.ones((60, 1))
    errors[20:30] = 4.0
    verdict = Judge(RULE, np.ones((100, 1))).push(errors)
    start, first, end, second = verdict.events
    assert [e.kind for e in verdict.events] == ["start", "point", "end", "point"]
    assert (first.label, first.time, second.time) == ("changepoint", start.time, end.time)
    above = np.flatnonzero(verdict.scores >= RULE.on)
    assert start.time == 100 + above[0]
    below = np.flatnonzero(verdict.scores[30:] < RULE.off_share * RULE.on) + 30
    assert end.time == 100 + below[0]
    # Known one row later than it began, as it must hold for two rows.
    assert np.flatnonzero(verdict.anomaly).tolist() == list(range(above[0] + 1, below[0] + 1))


def test_usual_errors_follow_drift_but_stand_still_in_an_anomaly() -> None:
    rule = RULE.model_copy(update={"half_life": 50.0})
    drifting = np.sqrt(np.linspace(1.0, 6.0, 2000))[:, None]
    assert not Judge(rule, np.ones((100, 1))).push(drifting).anomaly.any()
    assert Judge(rule, np.ones((100, 1))).push(np.full((2000, 1), 3.0)).anomaly[-1]


def test_a_machine_is_watched_in_any_chunks(forecaster: surnn.Model) -> None:
    rows = machine()
    whole = Watcher(forecaster, 3, RULE)
    expected = whole.push(rows)
    whole.close()
    starts = [e.time for e in expected.events if e.kind is EventKind.START]
    assert starts
    assert 300 <= starts[0] <= 310
    assert not expected.anomaly[:300].any()

    watcher, scores, anomaly, events = Watcher(forecaster, 3, RULE), [], [], []
    rng, at = np.random.default_rng(1), 0
    while at < len(rows):
        size = int(rng.integers(1, 90))
        verdict = watcher.push(rows[at : at + size])
        assert verdict.first_row == at
        scores.append(verdict.scores)
        anomaly.append(verdict.anomaly)
        events += verdict.events
        at += size
    np.testing.assert_allclose(np.concatenate(scores), expected.scores, atol=1e-5)
    np.testing.assert_array_equal(np.concatenate(anomaly), expected.anomaly)
    assert [(e.kind, e.time) for e in events] == [(e.kind, e.time) for e in expected.events]


def test_units_do_not_matter(forecaster: surnn.Model) -> None:
    rows = machine().astype(np.float32)
    errors = forecast_errors(forecaster, rows, 100)
    other = forecast_errors(forecaster, rows * np.float32(1000.0), 100)
    np.testing.assert_allclose(errors, other, atol=1e-3)


def test_a_channel_that_stood_still_has_a_spread() -> None:
    mean, spread = first_scale(np.array([[5.0, 0.0], [5.0, 0.0]]))
    assert mean.tolist() == [5.0, 0.0]
    assert (spread > 0).all()


def test_wrong_rows_and_models_are_refused(forecaster: surnn.Model) -> None:
    watcher = Watcher(forecaster, 3)
    with pytest.raises(InvalidShape, match=r"rows are \[5, 2\], expected \[n, 3\]"):
        watcher.push(np.zeros((5, 2)))
    with pytest.raises(InvalidConfig, match=r"'activity'.* expected forecasts of one channel"):
        Watcher(surnn.load("activity"), 6)
