"""The scores of SKAB and NAB on series kept apart, beside the same rule without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surnn.anomaly import LIMIT, Judge, Verdict, first_scale, forecast_errors
from surnn.dataset.telemetry import Telemetry
from surnn.model import Model
from surnn.nn import Network
from surnn.runtimes.base import Runtime
from surnn.runtimes.onnx import OnnxRuntime
from surnn.spec import ModelSpec
from surnn.train.config import MachineConfig, MachineSet
from surnn.train.task import Report
from surnn.types import EventKind

__all__ = [
    "MachineValidation",
    "nab_score",
    "row_scores",
    "standstill_errors",
    "t_squared_errors",
]

_ONS = tuple(float(t) for t in np.round(np.geomspace(1.1, 20.0, 30), 2))
_LATE = 60
"""Rows behind a changepoint in which it still counts as found: a minute of SKAB."""
_FALSE = -0.11
"""NAB's standard profile: an alarm outside of every window, against 1 for a window found."""

Series = Sequence[tuple[MachineSet, Telemetry]]
Errors = NDArray[np.float64]
ErrorsOf = Callable[[Telemetry], Errors]


@dataclass(frozen=True, slots=True)
class _Choice:
    """A threshold, and the scores at it of validation series and maybe of test series."""

    on: float
    scores: dict[str, dict[str, float]]


class MachineValidation:
    """Watches series with a network and with nothing, and compares."""

    def __init__(
        self, spec: ModelSpec, config: MachineConfig, series: Mapping[str, Series]
    ) -> None:
        self.spec = spec
        self.rule = config.rule
        self.series = series

    def report(self, network: Network, *, final: bool = False) -> Report:
        """The score is the F1 of rows of validation series at the threshold that is best there.

        In the end, series that nothing was chosen by are scored once at that threshold.
        """
        # Imported here: the graph needs onnx, and nothing else of this package does.
        from surnn.export.graph import build

        weights = {k: v.detach().numpy() for k, v in network.state_dict().items()}
        runtime = OnnxRuntime(build(network.spec, weights).SerializeToString())
        model = Model(runtime)

        def foreseen(series: Telemetry) -> Errors:
            return forecast_errors(model, series.values, self.rule.warm_up)

        found = self._chosen(foreseen)
        key = "rows" if "rows" in found else "windows"
        main = found[key].scores["valid"]
        opened = self._open_rate(runtime)
        figures: dict[str, object] = {"main": main | {"open_rate": opened}}
        if final:
            warm = self.rule.warm_up
            found = self._chosen(foreseen, test=True)
            still = self._chosen(lambda s: standstill_errors(s, warm), test=True)
            t_squared = self._chosen(lambda s: t_squared_errors(s, warm), test=True)
            figures["thresholds"] = {kind: choice.on for kind, choice in found.items()}
            figures["groups"] = [
                {"group": f"{name}, {kind}, {role}", **scores}
                for name, results in (
                    ("model", found),
                    ("no network", still),
                    ("T-squared", t_squared),
                )
                for kind, choice in results.items()
                for role, scores in choice.scores.items()
            ]
        score = main["f1"] if key == "rows" else main["nab"] / 100.0
        return Report(
            score=score,
            summary=f"{key} score {score:.4f} at {found[key].on:g}, open {opened:.3f}",
            figures=figures,
            threshold=found[key].on,
        )

    def _chosen(self, errors_of: ErrorsOf, *, test: bool = False) -> dict[str, _Choice]:
        """For rows and for windows: the best threshold on validation series, and the scores."""
        found: dict[str, _Choice] = {}
        for kind in ("rows", "windows"):
            held = [s for item, s in self.series["valid"] if item.score == kind]
            if not held:
                continue
            errors = [errors_of(s) for s in held]
            tried = {on: self._scores(kind, held, errors, on) for on in _ONS}
            on = max(tried, key=lambda on: tried[on]["f1" if kind == "rows" else "nab"])
            found[kind] = _Choice(on, {"valid": tried[on]})
            kept = [s for item, s in self.series["test"] if item.score == kind]
            if test and kept:
                errors = [errors_of(s) for s in kept]
                found[kind].scores["test"] = self._scores(kind, kept, errors, on)
        return found

    def _scores(
        self, kind: str, series: Sequence[Telemetry], errors: Sequence[Errors], on: float
    ) -> dict[str, float]:
        rule = self.rule.model_copy(update={"on": on})
        verdicts = []
        for one in errors:
            verdicts.append(Judge(rule, one[: rule.warm_up]).push(one[rule.warm_up :]))
        if kind == "rows":
            return row_scores(series, verdicts)
        return nab_score(series, verdicts, rule.warm_up)

    def _open_rate(self, runtime: Runtime) -> float:
        """Share of neurons updated in a validation series."""
        _, series = self.series["valid"][0]
        values = series.values[:, :1]
        scaled = (values - values.mean()) / max(float(values.std()), 1e-6)
        pool = runtime.new_pool(1)
        block = runtime.run(pool, [pool.acquire()], [np.ascontiguousarray(scaled)])[0]
        return float(block.opened.sum(axis=1).mean() / self.spec.neurons)


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
