"""Score a model that forecasts on labelled telemetry: what `surnn eval machine DIR` prints.

A folder as `surnn.dataset.telemetry` reads it. Tables with the columns `anomaly` and `changepoint`
give SKAB's scores of rows, those of a folder with `anomaly_windows.csv` NAB's score of windows;
both at the model's own rule, beside the same rule on two baselines without a network, or at
thresholds that are chosen on other series.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from surnn.anomaly import Forecast, forecast
from surnn.anomaly_measures import (
    Errors,
    choose_rule,
    scores,
    standstill_errors,
    t_squared_errors,
)
from surnn.dataset.telemetry import WINDOWS, Telemetry, read_telemetry
from surnn.errors import InvalidConfig, InvalidInput
from surnn.model import Model
from surnn.spec import AnomalyRule, Head, ModelSpec

__all__ = ["TelemetryEvaluation", "evaluate_telemetry", "forecasts"]

Figures = dict[str, object]
Progress = Callable[[str, float], None]
_BASELINES = {"no network": standstill_errors, "T-squared": t_squared_errors}


@dataclass(frozen=True, slots=True)
class TelemetryEvaluation:
    """Figures, and the forecasts that they come from, one for each series."""

    figures: Figures
    forecasts: list[Forecast]


def forecasts(spec: ModelSpec) -> bool:
    """Is this model measured by the anomalies that its forecasts bring?"""
    return spec.head is Head.LINEAR


def evaluate_telemetry(
    model: Model,
    directory: Path | str,
    *,
    files: Sequence[str] = ("*",),
    tune: Path | str | None = None,
    tune_files: Sequence[str] = ("*",),
    progress: Progress | None = None,
) -> TelemetryEvaluation:
    """Watch every series of a folder and score what was found.

    Args:
        model: one that forecasts, with the rule that turns errors into anomalies.
        directory: the folder.
        files: patterns of the tables' names, relative to the folder.
        tune: a folder of other series, by which the thresholds of the model and of the baselines
            are chosen, each its own. None: all are judged at the model's.
        tune_files: patterns of its tables' names.
        progress: called with a table's name and its rows when it is done.

    Returns figures with the scores (`f1`, `far_percent`, `mar_percent`, changepoints and their
    delay in rows, or `nab` and the windows found), the `open_rate`, rows of a channel per second of
    wall time, the same scores of baselines under `baselines` and of each table under `files`.

    Raises `InvalidConfig` for a model of another kind, `InvalidInput` naming file and line for a
    folder that is not as described.
    """
    spec, folder = model.spec, Path(directory)
    if not forecasts(spec) or spec.anomaly is None:
        raise InvalidConfig(
            f"model {spec.name!r} has a {spec.head.value} head and "
            f"{'a' if spec.anomaly else 'no'} rule for anomalies, expected forecasts and a rule"
        )
    rule = spec.anomaly
    warm = rule.warm_up
    series = _series(folder, files, rule)
    windows = (folder / WINDOWS).is_file()
    other = None if tune is None else _series(Path(tune), tune_files, rule)
    if tune is not None and (Path(tune) / WINDOWS).is_file() != windows:
        raise InvalidInput(f"{tune}: labels of another kind than in {folder}, expected the same")

    def fitting(of: Callable[[Telemetry], Errors]) -> AnomalyRule:
        if other is None:
            return rule
        return choose_rule(rule, other, [of(s) for s in other], windows=windows)

    found: list[Forecast] = []
    began = time.perf_counter()
    for one in series:
        found.append(forecast(model, one.values, warm))
        if progress is not None:
            progress(one.name, float(len(one.values)))
    elapsed = time.perf_counter() - began
    values = sum(s.values.size for s in series)
    errors = [f.errors for f in found]
    own = fitting(lambda s: forecast(model, s.values, warm).errors)
    baselines: dict[str, dict[str, float]] = {}
    for name, of in _BASELINES.items():
        chosen = fitting(partial(of, warm_up=warm))
        them = [of(s, warm) for s in series]
        baselines[name] = {"threshold": chosen.on, **scores(chosen, series, them, windows=windows)}
    figures: Figures = {
        "model": spec.name,
        "version": spec.version,
        "threshold": own.on,
        "thresholds": "the model's" if tune is None else f"chosen on {Path(tune).name}",
        "data": {"folder": folder.name, "part": ", ".join(files), "recordings": len(series)},
        "scores": "windows" if windows else "rows",
        **scores(own, series, errors, windows=windows),
        "rows": sum(len(s.values) for s in series),
        "open_rate": sum(f.open_rate * f.errors.size for f in found) / max(values, 1),
        "values_per_second": round(values / max(elapsed, 1e-9)),
        "baselines": baselines,
        "files": {
            s.name: scores(own, [s], [e], windows=windows)
            for s, e in zip(series, errors, strict=True)
        },
    }
    return TelemetryEvaluation(figures, found)


def _series(folder: Path, files: Sequence[str], rule: AnomalyRule) -> list[Telemetry]:
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is not a folder, expected one with tables of telemetry")
    series = read_telemetry(folder, files)
    if not any(s.labelled for s in series):
        raise InvalidInput(
            f"{folder}: no table has a column 'anomaly' or 'changepoint', and there is no "
            f"{WINDOWS}, expected labels of one kind"
        )
    for one in series:
        if len(one.values) <= rule.warm_up:
            raise InvalidInput(
                f"{folder / one.name}: {len(one.values)} rows, expected more than the "
                f"{rule.warm_up} in which the machine is learnt"
            )
    return series
