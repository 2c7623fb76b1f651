"""How well anomalies of telemetry are found: the scores of SKAB and NAB, and two baselines.

Hotelling's T-squared and a forecast that nothing changes are judged by the same rule as a model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from surnn.anomaly import LIMIT, Judge, Verdict, first_scale
from surnn.dataset.telemetry import Telemetry
from surnn.spec import AnomalyRule
from surnn.types import EventKind

__all__ = [
    "Errors",
    "choose_rule",
    "nab_score",
    "row_scores",
    "scores",
    "standstill_errors",
    "t_squared_errors",
]

Errors = NDArray[np.float64]
"""What was not foreseen of a series [n, channels]."""
_ONS = tuple(float(t) for t in np.round(np.geomspace(1.1, 20.0, 30), 2))
_LATE = 60
"""Rows behind a changepoint in which it still counts as found: a minute of SKAB."""
_FALSE = -0.11
"""NAB's standard profile: an alarm outside of every window, against 1 for a window found."""


def scores(
    rule: AnomalyRule, series: Sequence[Telemetry], errors: Sequence[Errors], *, windows: bool
) -> dict[str, float]:
    """What a rule makes of errors, by NAB's score of windows or by SKAB's of rows."""
    warm = rule.warm_up
    verdicts = [Judge(rule, one[:warm]).push(one[warm:]) for one in errors]
    return nab_score(series, verdicts, warm) if windows else row_scores(series, verdicts)


def choose_rule(
    rule: AnomalyRule, series: Sequence[Telemetry], errors: Sequence[Errors], *, windows: bool
) -> AnomalyRule:
    """The rule with the threshold that has the best F1 of rows, or score of windows."""
    measure = "nab" if windows else "f1"
    rules = [rule.model_copy(update={"on": on}) for on in _ONS]
    return max(rules, key=lambda r: scores(r, series, errors, windows=windows)[measure])


def row_scores(series: Sequence[Telemetry], verdicts: Sequence[Verdict]) -> dict[str, float]:
    """SKAB's outlier scores, and how changepoints were met.

    Of all rows, as in SKAB: those of the warm-up are called normal.

    F1, false alarm rate and missing alarm rate in percent, as SKAB gives them; of changepoints the
    share that an event within a minute followed, the median delay in rows, and false events.
    """
    truth = np.concatenate([s.anomaly for s in series])
    called = np.concatenate(
        [np.concatenate([np.zeros(v.first_row, np.bool_), v.anomaly]) for v in verdicts]
    )
    hit = int((truth & called).sum())
    wrong, missed = int((called & ~truth).sum()), int((truth & ~called).sum())
    delays: list[float] = []
    changes = false = 0
    for one, verdict in zip(series, verdicts, strict=True):
        points = [e.time for e in verdict.events if e.kind is EventKind.POINT]
        for row in np.flatnonzero(one.changes):
            changes += 1
            met = [p for p in points if row <= p <= row + _LATE]
            if met:
                delays.append(met[0] - float(row))
                points.remove(met[0])
        false += len(points)
    return {
        "f1": 2 * hit / max(2 * hit + wrong + missed, 1),
        "far_percent": 100.0 * wrong / max(int((~truth).sum()), 1),
        "mar_percent": 100.0 * missed / max(int(truth.sum()), 1),
        "changepoints": changes,
        "changepoints_met": len(delays),
        "delay_rows_median": float(np.median(delays)) if delays else float(_LATE),
        "false_changepoints": false,
        "rows": len(truth),
    }


def nab_score(
    series: Sequence[Telemetry], verdicts: Sequence[Verdict], warm_up: int
) -> dict[str, float]:
    """NAB's score in the standard profile: 0 for silence, 100 for every window at its start.

    Lavin and Ahmad, ICMLA 2015 (arXiv 1510.03336), equations 1 to 3. An alarm is the start of an
    anomaly; the first one in a window counts, more in it do not.
    """
    total = found = windows = false = 0.0
    for one, verdict in zip(series, verdicts, strict=True):
        alarms = [int(e.time) for e in verdict.events if e.kind is EventKind.START]
        spans = [w for w in one.windows if w[1] >= warm_up]
        windows += len(spans)
        met: set[int] = set()
        for alarm in alarms:
            inside = next((i for i, (a, b) in enumerate(spans) if a <= alarm <= b), None)
            if inside is not None:
                if inside not in met:
                    met.add(inside)
                    first, last = spans[inside]
                    place = -(last - alarm + 1) / (last - first + 1)
                    total += _sigmoid(place) / _sigmoid(-1.0)
                continue
            false += 1
            before = [w for w in spans if w[1] < alarm]
            if before:
                first, last = before[-1]
                total += -_FALSE * _sigmoid((alarm - last) / max(last - first, 1))
            else:
                total += _FALSE
        found += len(met)
        total -= len(spans) - len(met)
    return {
        "nab": 100.0 * (total + windows) / max(2.0 * windows, 1.0),
        "windows": windows,
        "windows_found": found,
        "false_alarms": false,
        "files": float(len(series)),
    }


def _sigmoid(place: float) -> float:
    """1 at the start of a window (-1), 0 at its end (0), -1 far behind it."""
    if place > 3.0:
        return -1.0
    return float(2.0 / (1.0 + np.exp(5.0 * place)) - 1.0)


def standstill_errors(series: Telemetry, warm_up: int) -> Errors:
    """The rule without a network: everything is said to stay as it was at the start."""
    mean, scale = first_scale(series.values[:warm_up])
    errors: Errors = np.clip((series.values - mean) / scale, -LIMIT, LIMIT)
    return errors


def t_squared_errors(series: Telemetry, warm_up: int) -> Errors:
    """Hotelling's T-squared, SKAB's simplest baseline: one channel [n, 1], its square is T².

    Distance from the mean of the warm-up under its covariance.
    """
    mean, scale = first_scale(series.values[:warm_up])
    rows = (series.values - mean) / scale
    covariance = np.atleast_2d(np.cov(rows[:warm_up].T))
    spread = np.einsum("ni,ij,nj->n", rows, np.linalg.pinv(covariance), rows)
    errors: Errors = np.sqrt(np.maximum(spread, 0.0))[:, None]
    return errors
