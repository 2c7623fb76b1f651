"""The scores of SKAB and NAB on series kept apart, beside the same rule without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from surnn.anomaly import Verdict, Watcher
from surnn.dataset.telemetry import Telemetry
from surnn.model import Model
from surnn.nn import Network
from surnn.runtimes.base import FrameBlock, Runtime
from surnn.runtimes.onnx import OnnxRuntime
from surnn.spec import AnomalyRule, ModelSpec
from surnn.state import Slot, StatePool
from surnn.train.config import MachineConfig, MachineSet
from surnn.train.task import Report
from surnn.types import EventKind, Float32

__all__ = ["MachineValidation", "nab_score", "row_scores"]

_ONS = (1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 6.5, 8.0, 10.0)
_LATE = 60
"""Rows behind a changepoint in which it still counts as found: a minute of SKAB."""
_FALSE = -0.11
"""NAB's standard profile: an alarm outside of every window, against 1 for a window found."""

Series = Sequence[tuple[MachineSet, Telemetry]]


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
        found = self._chosen(Model(runtime))
        main = dict(found["rows"]["valid"]) if "rows" in found else dict(found["windows"]["valid"])
        opened = self._open_rate(runtime)
        figures: dict[str, object] = {"main": main | {"open_rate": opened}, "machine": found}
        key = "rows" if "rows" in found else "windows"
        score = float(main["f1"] if key == "rows" else main["nab"] / 100.0)
        if final:
            figures["baseline"] = self._chosen(Model(_Standstill(self.spec)), test=True)
            figures["machine"] = found = self._chosen(Model(runtime), test=True)
            rows = []
            for name, results in (("model", found), ("no network", figures["baseline"])):
                for kind, parts in results.items():  # type: ignore[attr-defined]
                    for role in ("valid", "test"):
                        if role in parts:
                            rows.append({"group": f"{name}, {kind}, {role}", **parts[role]})
            figures["groups"] = rows
        return Report(
            score=score,
            summary=f"{key} score {score:.4f} at {found[key]['on']:g}, open {opened:.3f}",
            figures=figures,
            threshold=float(found[key]["on"]),
        )

    def _chosen(self, model: Model, *, test: bool = False) -> dict[str, dict[str, object]]:
        """For rows and for windows: the best threshold on validation series, and the scores."""
        found: dict[str, dict[str, object]] = {}
        for kind in ("rows", "windows"):
            held = [s for item, s in self.series["valid"] if item.score == kind]
            if not held:
                continue
            best: tuple[float, float, dict[str, float]] | None = None
            for on in _ONS:
                rule = self.rule.model_copy(update={"on": on})
                figures = _scored(kind, model, rule, held)
                value = figures["f1"] if kind == "rows" else figures["nab"]
                if best is None or value > best[0]:
                    best = value, on, figures
            assert best is not None
            found[kind] = {"on": best[1], "valid": best[2]}
            kept = [s for item, s in self.series["test"] if item.score == kind]
            if test and kept:
                rule = self.rule.model_copy(update={"on": best[1]})
                found[kind]["test"] = _scored(kind, model, rule, kept)
        return found

    def _open_rate(self, runtime: Runtime) -> float:
        """Share of neurons updated in a validation series."""
        _, series = self.series["valid"][0]
        values = series.values[:, :1]
        scaled = (values - values.mean()) / max(float(values.std()), 1e-6)
        pool = runtime.new_pool(1)
        block = runtime.run(pool, [pool.acquire()], [np.ascontiguousarray(scaled)])[0]
        return float(block.opened.sum(axis=1).mean() / self.spec.neurons)


def _scored(
    kind: str, model: Model, rule: AnomalyRule, series: Sequence[Telemetry]
) -> dict[str, float]:
    verdicts = []
    for one in series:
        watcher = Watcher(model, one.values.shape[1], rule)
        verdicts.append(watcher.push(one.values))
        watcher.close()
    score = row_scores if kind == "rows" else nab_score
    return score(series, verdicts, rule.warm_up)


def row_scores(
    series: Sequence[Telemetry], verdicts: Sequence[Verdict], warm_up: int
) -> dict[str, float]:
    """SKAB's outlier scores over all rows behind the warm-up, and how changepoints were met.

    F1, false alarm rate and missing alarm rate in percent, as SKAB gives them; of changepoints the
    share that an event within a minute followed, the median delay in rows, and false events.
    """
    truth = np.concatenate([s.anomaly[warm_up:] for s in series])
    called = np.concatenate([v.anomaly[warm_up:] for v in verdicts])
    hit = int((truth & called).sum())
    wrong, missed = int((called & ~truth).sum()), int((truth & ~called).sum())
    delays: list[float] = []
    changes = false = 0
    for one, verdict in zip(series, verdicts, strict=True):
        points = [e.time for e in verdict.events if e.kind is EventKind.POINT]
        for row in np.flatnonzero(one.changes[warm_up:]) + warm_up:
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


class _Standstill:
    """Forecasts that everything stays as it was at the start: the rule without a network."""

    name = "standstill"
    fingerprint = "standstill"

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    def new_pool(self, capacity: int) -> StatePool:
        return StatePool(self.spec.states, capacity)

    def run(
        self, pool: StatePool, slots: Sequence[Slot], frames: Sequence[Float32]
    ) -> list[FrameBlock]:
        width, layers = len(self.spec.labels), len(self.spec.layers)
        return [
            FrameBlock(np.zeros((len(f), width), np.float32), _zeros(len(f), layers))
            for f in frames
        ]


def _zeros(rows: int, columns: int) -> NDArray[np.float32]:
    return np.zeros((rows, columns), np.float32)
