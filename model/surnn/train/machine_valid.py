"""The scores of SKAB and NAB on series kept apart, beside the same rule without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from surnn.anomaly import forecast_errors
from surnn.anomaly_measures import (
    Errors,
    choose_rule,
    scores,
    standstill_errors,
    t_squared_errors,
)
from surnn.dataset.telemetry import Telemetry
from surnn.model import Model
from surnn.nn import Network
from surnn.runtimes.base import Runtime
from surnn.runtimes.onnx import OnnxRuntime
from surnn.spec import ModelSpec
from surnn.train.config_data import MachineConfig, MachineSet
from surnn.train.task import Report

__all__ = ["MachineValidation"]

Series = Sequence[tuple[MachineSet, Telemetry]]
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
            windows = kind == "windows"
            rule = choose_rule(self.rule, held, errors, windows=windows)
            valid = scores(rule, held, errors, windows=windows)
            found[kind] = _Choice(rule.on, {"valid": valid})
            kept = [s for item, s in self.series["test"] if item.score == kind]
            if test and kept:
                errors = [errors_of(s) for s in kept]
                found[kind].scores["test"] = scores(rule, kept, errors, windows=windows)
        return found

    def _open_rate(self, runtime: Runtime) -> float:
        """Share of neurons updated in a validation series."""
        _, series = self.series["valid"][0]
        values = series.values[:, :1]
        scaled = (values - values.mean()) / max(float(values.std()), 1e-6)
        pool = runtime.new_pool(1)
        block = runtime.run(pool, [pool.acquire()], [np.ascontiguousarray(scaled)])[0]
        return float(block.opened.sum(axis=1).mean() / self.spec.neurons)
