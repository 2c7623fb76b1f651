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

__all__ = ["HORIZONS", "AnomalyRule", "Verdict", "Watcher", "first_scale"]

HORIZONS = (1, 30)
"""How many rows ahead the model says what comes."""
_LIMIT = 8.0
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


class Watcher:
    """One machine. Give it rows as they come; nothing is looked at twice."""

    def __init__(self, model: Model, channels: int, rule: AnomalyRule | None = None) -> None:
        """Start watching a machine with so many channels.

        Raises `InvalidConfig` for a model that does not forecast.
        """
        spec = model.spec
        if spec.labels != tuple(f"ahead_{h}" for h in HORIZONS) or spec.channels != 1:
            raise InvalidConfig(
                f"model {spec.name!r} has labels {list(spec.labels)} and {spec.channels} channels, "
                f"expected forecasts of one channel, {[f'ahead_{h}' for h in HORIZONS]}"
            )
        self.rule = rule or spec.anomaly or AnomalyRule()
        self.channels = channels
        self._engine = Engine(model.runtime, capacity=channels)
        self._sessions = [self._engine.open() for _ in range(channels)]
        self._row = 0
        self._waiting: list[Float32] = []
        self._mean = np.zeros(channels)
        self._scale = np.ones(channels)
        # Forecasts that wait for their row: [horizon, channels].
        self._ahead = np.zeros((max(HORIZONS), channels))
        self._square = np.ones(channels)
        self._score = 1.0
        self._active = False
        self._run = 0

    def push(self, rows: NDArray[np.floating]) -> Verdict:
        """Take in rows [n, channels] and judge those that can be judged. Raises `InvalidShape`."""
        if rows.ndim != 2 or rows.shape[1] != self.channels:
            raise InvalidShape(f"rows are {list(rows.shape)}, expected [n, {self.channels}]")
        first, known = self._row, self.rule.warm_up
        self._row += len(rows)
        if first < known:
            self._waiting.append(np.asarray(rows, np.float32))
            if self._row < known:
                return _nothing(first, len(rows))
            return self._begin(first)
        return self._judge(first, np.asarray(rows, np.float64))

    def _begin(self, first: int) -> Verdict:
        """Learn the machine from its first rows; judge what came behind them."""
        rows = np.concatenate(self._waiting).astype(np.float64)
        self._waiting = []
        warm = self.rule.warm_up
        self._mean, self._scale = first_scale(rows[:warm])
        errors = self._errors(rows[:warm])
        # The first forecasts are made of nothing.
        settled = errors[max(HORIZONS) :] if warm > 2 * max(HORIZONS) else errors
        self._square = np.maximum((settled**2).mean(axis=0), self.rule.floor**2)
        learnt = warm - first
        if len(rows) == warm:
            return _nothing(first, learnt)
        rest = self._judge(warm, rows[warm:])
        scores = np.concatenate([np.zeros(learnt), rest.scores])
        anomaly = np.concatenate([np.zeros(learnt, np.bool_), rest.anomaly])
        return Verdict(first, scores, anomaly, rest.events)

    def _judge(self, first: int, rows: NDArray[np.float64]) -> Verdict:
        rule, errors = self.rule, self._errors(rows)
        scores = np.zeros(len(rows))
        anomaly = np.zeros(len(rows), np.bool_)
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

    def _errors(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """What was not foreseen `HORIZONS[1]` rows before [n, channels]."""
        scaled = np.clip((rows - self._mean) / self._scale, -_LIMIT, _LIMIT).astype(np.float32)
        for channel, session in enumerate(self._sessions):
            session.push(np.ascontiguousarray(scaled[:, channel : channel + 1]))
        forecasts = np.zeros((len(rows), self.channels))
        done = 0
        while done < len(rows):
            results = self._engine.step(self._sessions)
            count = 0
            for channel, result in enumerate(results):
                assert result is not None
                count = len(result.probs)
                forecasts[done : done + count, channel] = result.probs[:, 1]
            done += count
        known = np.concatenate([self._ahead, forecasts])
        self._ahead = known[len(rows) :]
        errors: NDArray[np.float64] = scaled - known[: len(rows)]
        return errors

    def close(self) -> None:
        """Free what the streams hold."""
        for session in self._sessions:
            self._engine.close(session)


def _nothing(first: int, count: int) -> Verdict:
    return Verdict(first, np.zeros(count), np.zeros(count, np.bool_), ())
