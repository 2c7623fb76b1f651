"""Anomalies of telemetry from the errors of forecasts, row by row.

Each channel is a stream of a model that forecasts it (labels `ahead_1` and `ahead_30`). The first
rows of a machine, in which it is taken to be well, scale its channels and tell how large errors are
when all is well. From then on a row's score is

    s_t = (1 - 1/w) s_(t-1) + 1/w mean_c min(e_(t,c)^2 / v_c, cap)

where e is what was not foreseen 30 rows before and v its slowly moving mean square: it follows
drift while nothing is wrong, and stands still while something is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from surnn.engine import Engine
from surnn.errors import InvalidConfig, InvalidShape
from surnn.spec import AnomalyRule
from surnn.types import Event, EventKind, Float32

if TYPE_CHECKING:
    from surnn.model import Model

__all__ = [
    "HORIZONS",
    "LIMIT",
    "AnomalyRule",
    "Forecast",
    "Judge",
    "Verdict",
    "Watcher",
    "first_scale",
    "forecast",
    "forecast_errors",
]

HORIZONS = (1, 30)
"""How many rows ahead the model says what comes."""
LIMIT = 8.0
"""Deviations beyond this say no more, and would only upset the network."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of some rows."""

    first_row: int
    scores: NDArray[np.float64]
    """[n]; about 1 while all is well, 0 while the machine is still being learnt."""
    anomaly: NDArray[np.bool_]
    """Rows within an anomaly [n]."""
    events: tuple[Event, ...]
    """Starts and ends of `anomaly`, points of `changepoint`; times are row numbers."""


def first_scale(rows: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and spread of each channel of rows [n, channels]: [channels] each."""
    mean = rows.mean(axis=0, dtype=np.float64)
    spread = rows.std(axis=0, dtype=np.float64)
    # A channel that stood still: what counts is then a thousandth of its size.
    return mean, np.maximum(spread, 1e-3 * np.abs(mean) + 1e-9)


class Judge:
    """Errors of forecasts to anomalies, row by row (see the module's equation)."""

    def __init__(self, rule: AnomalyRule, warm: NDArray[np.float64]) -> None:
        """Start behind the errors of a warm-up [warm_up, channels]."""
        self.rule = rule
        # The first forecasts are made of nothing.
        settled = warm[max(HORIZONS) :] if len(warm) > 2 * max(HORIZONS) else warm
        self._square = np.maximum((settled**2).mean(axis=0), rule.floor**2)
        self._row = len(warm)
        self._score = 1.0
        self._active = False
        self._run = 0

    def push(self, errors: NDArray[np.float64]) -> Verdict:
        """Judge the rows that these errors [n, channels] are of."""
        rule, first = self.rule, self._row
        scores = np.zeros(len(errors))
        anomaly = np.zeros(len(errors), np.bool_)
        events: list[Event] = []
        keep = 0.5 ** (1.0 / rule.half_life)
        for i, error in enumerate(errors):
            ratio = np.minimum(error**2 / self._square, rule.cap)
            self._score += (float(ratio.mean()) - self._score) / rule.smooth
            scores[i] = self._score
            events += self._step(first + i)
            anomaly[i] = self._active
            if not self._active:
                moved = np.minimum(error**2, rule.cap * self._square)
                self._square = np.maximum(keep * self._square + (1 - keep) * moved, rule.floor**2)
        self._row += len(errors)
        return Verdict(first, scores, anomaly, tuple(events))

    def _step(self, row: int) -> list[Event]:
        """Hysteresis: on for `hold` rows to begin, below `off` for `hold` rows to end."""
        rule = self.rule
        against = self._score < rule.off_share * rule.on if self._active else self._score >= rule.on
        self._run = self._run + 1 if against else 0
        if self._run < rule.hold:
            return []
        since, self._run = float(row + 1 - rule.hold), 0
        self._active = not self._active
        kind = EventKind.START if self._active else EventKind.END
        return [
            Event("anomaly", kind, since, self._score),
            Event("changepoint", EventKind.POINT, since, self._score),
        ]


class Watcher:
    """One machine. Give it rows as they come; nothing is looked at twice."""

    def __init__(self, model: Model, channels: int, rule: AnomalyRule | None = None) -> None:
        """Start watching a machine with so many channels.

        Raises `InvalidConfig` for a model that does not forecast.
        """
        self.rule = rule or model.spec.anomaly or AnomalyRule()
        self.channels = channels
        self._forecasts = _Forecasts(model, channels)
        self._row = 0
        self._waiting: list[Float32] = []
        self._judge: Judge | None = None

    def push(self, rows: NDArray[np.floating]) -> Verdict:
        """Take in rows [n, channels] and judge those that can be judged. Raises `InvalidShape`."""
        if rows.ndim != 2 or rows.shape[1] != self.channels:
            raise InvalidShape(f"rows are {list(rows.shape)}, expected [n, {self.channels}]")
        first, warm = self._row, self.rule.warm_up
        self._row += len(rows)
        if self._judge is not None:
            return self._judge.push(self._forecasts.errors(rows))
        self._waiting.append(np.asarray(rows, np.float32))
        if self._row < warm:
            return _nothing(first, len(rows))
        errors = self._forecasts.begin(np.concatenate(self._waiting), warm)
        self._waiting = []
        self._judge = Judge(self.rule, errors[:warm])
        rest = self._judge.push(errors[warm:])
        learnt = warm - first
        scores = np.concatenate([np.zeros(learnt), rest.scores])
        anomaly = np.concatenate([np.zeros(learnt, np.bool_), rest.anomaly])
        return Verdict(first, scores, anomaly, rest.events)

    def close(self) -> None:
        """Free what the streams hold."""
        self._forecasts.close()


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a model made of a whole series."""

    errors: NDArray[np.float64]
    """What it did not foresee [n, channels]."""
    open_rate: float
    """Share of neurons that were updated, over rows and channels."""


def forecast(model: Model, rows: NDArray[np.floating], warm_up: int) -> Forecast:
    """Forecast a whole series [n, channels], scaled by its first rows.

    Raises `InvalidConfig` for a model that does not forecast.
    """
    forecasts = _Forecasts(model, rows.shape[1])
    errors = forecasts.begin(rows, warm_up)
    updates = forecasts.updates
    forecasts.close()
    return Forecast(errors, updates / max(errors.size * model.spec.neurons, 1))


def forecast_errors(model: Model, rows: NDArray[np.floating], warm_up: int) -> NDArray[np.float64]:
    """What a model did not foresee of a whole series [n, channels], scaled by its first rows."""
    return forecast(model, rows, warm_up).errors


class _Forecasts:
    """A stream of the model for each channel."""

    def __init__(self, model: Model, channels: int) -> None:
        spec = model.spec
        if spec.labels != tuple(f"ahead_{h}" for h in HORIZONS) or spec.channels != 1:
            raise InvalidConfig(
                f"model {spec.name!r} has labels {list(spec.labels)} and {spec.channels} channels, "
                f"expected forecasts of one channel, {[f'ahead_{h}' for h in HORIZONS]}"
            )
        self._engine = Engine(model.runtime, capacity=channels)
        self._sessions = [self._engine.open() for _ in range(channels)]
        self._mean = np.zeros(channels)
        self._scale = np.ones(channels)
        # Forecasts that wait for their row: [horizon, channels].
        self._ahead = np.zeros((max(HORIZONS), channels))
        self.updates = 0
        """Neurons that were updated so far."""

    def begin(self, rows: NDArray[np.floating], warm_up: int) -> NDArray[np.float64]:
        """The first rows of a machine: learn from `warm_up` of them how to scale; their errors."""
        self._mean, self._scale = first_scale(rows[:warm_up])
        return self.errors(rows)

    def errors(self, rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """What was not foreseen `HORIZONS[1]` rows before [n, channels]."""
        scaled = np.clip((rows - self._mean) / self._scale, -LIMIT, LIMIT).astype(np.float32)
        for channel, session in enumerate(self._sessions):
            session.push(np.ascontiguousarray(scaled[:, channel : channel + 1]))
        forecasts = np.zeros(scaled.shape)
        done = 0
        while done < len(rows):
            results = self._engine.step(self._sessions)
            count = 0
            for channel, result in enumerate(results):
                assert result is not None
                count = len(result.probs)
                forecasts[done : done + count, channel] = result.probs[:, 1]
                self.updates += sum(result.updates)
            done += count
        known = np.concatenate([self._ahead, forecasts])
        self._ahead = known[len(rows) :]
        errors: NDArray[np.float64] = scaled - known[: len(rows)]
        return errors

    def close(self) -> None:
        for session in self._sessions:
            self._engine.close(session)


def _nothing(first: int, count: int) -> Verdict:
    return Verdict(first, np.zeros(count), np.zeros(count, np.bool_), ())
