"""Rows of a sensor at uneven times, as they come, on an even grid: what a model hears.

Phones and watches stamp their rows, and send them neither evenly nor always once. Between rows run
straight lines; rows of one time are averaged. The grid begins with the first row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surnn.errors import InvalidInput, InvalidShape
from surnn.types import Float32

__all__ = ["EvenGrid"]


class EvenGrid:
    """One stream of rows, in any chunks. What comes out does not depend on them.

        grid = EvenGrid(model.spec.sample_rate)
        for times, rows in sensor():
            results = stream.feed(grid.push(times, rows))

    Args:
        rate: rows per second of the grid.
        longest_gap: seconds without rows that a line may still bridge.
    """

    def __init__(self, rate: float, *, longest_gap: float = 1.0) -> None:
        if not rate > 0 or not longest_gap > 0:
            raise InvalidInput(
                f"rate is {rate:g} and longest_gap {longest_gap:g}, expected both above 0"
            )
        self.rate, self.longest_gap = rate, longest_gap
        self._origin: float | None = None
        self._next = 0
        """Number of the next row of the grid."""
        # The rows of the latest time, which more may share, and the mean of those before it.
        self._latest = 0.0
        self._sum: NDArray[np.float64] = np.zeros(0)
        self._count = 0
        self._before: tuple[float, NDArray[np.float64]] | None = None

    def push(self, times: NDArray[np.floating], rows: NDArray[np.floating]) -> Float32:
        """Take in rows [n, channels] of times [n], in seconds; rows of the grid [m, channels].

        Raises `InvalidShape` for arrays that do not fit, `InvalidInput` for times that go back or
        leave a longer gap, and for numbers that are not finite; nothing of them is then taken in.
        """
        when: NDArray[np.float64] = np.asarray(times, np.float64)
        values: NDArray[np.float64] = np.asarray(rows, np.float64)
        self._check(when, values)
        channels = values.shape[1]
        if not len(when):
            return np.zeros((0, channels), np.float32)
        if self._origin is None:
            self._origin = self._latest = float(when[0])
            self._sum = np.zeros(channels)
        stamps, group = np.unique(np.append(self._latest, when), return_inverse=True)
        sums = np.zeros((len(stamps), channels))
        np.add.at(sums, group, np.vstack([self._sum, values]))
        counts = np.bincount(group, minlength=len(stamps)).astype(np.float64)
        counts[0] += self._count - 1  # the first entry stands for all rows of the time before
        self._latest, self._sum, self._count = float(stamps[-1]), sums[-1], int(counts[-1])
        if len(stamps) == 1:
            return np.zeros((0, channels), np.float32)
        known, means = stamps[:-1], sums[:-1] / counts[:-1, None]
        return self._rows(known, means, float(known[-1]))

    def finish(self) -> Float32:
        """The rows of the grid up to the last time, and the nearest one behind it."""
        if self._origin is None:
            return np.zeros((0, 0), np.float32)
        known, means = np.array([self._latest]), (self._sum / self._count)[None]
        return self._rows(known, means, self._latest + 0.5 / self.rate - 1e-9)

    def _rows(self, known: NDArray[np.float64], means: NDArray[np.float64], end: float) -> Float32:
        assert self._origin is not None
        if self._before is not None:
            known = np.append(self._before[0], known)
            means = np.vstack([self._before[1], means])
        self._before = float(known[-1]), means[-1]
        last = int(np.floor((end - self._origin) * self.rate + 1e-9))
        grid = self._origin + np.arange(self._next, last + 1) / self.rate
        self._next = max(self._next, last + 1)
        columns = [np.interp(grid, known, column) for column in means.T]
        return np.stack(columns, axis=1).astype(np.float32)

    def _check(self, times: NDArray[np.float64], rows: NDArray[np.float64]) -> None:
        channels = len(self._sum) if self._origin is not None else None
        if times.ndim != 1 or rows.ndim != 2 or len(times) != len(rows):
            raise InvalidShape(
                f"times are {list(times.shape)} and rows {list(rows.shape)}, "
                "expected [n] and [n, channels]"
            )
        if channels is not None and rows.shape[1] != channels:
            raise InvalidShape(f"rows have {rows.shape[1]} channels, expected {channels}")
        if not np.isfinite(times).all() or not np.isfinite(rows).all():
            raise InvalidInput("times or rows hold NaN or infinity, expected finite numbers")
        steps = np.diff(times if self._origin is None else np.append(self._latest, times))
        if len(steps) and steps.min() < 0:
            raise InvalidInput(
                f"a time lies {-float(steps.min()):g} s before the one in front of it, "
                "expected times in order"
            )
        if len(steps) and steps.max() > self.longest_gap:
            raise InvalidInput(
                f"no rows for {float(steps.max()):g} s, expected at most {self.longest_gap:g}: "
                "begin a new stream behind a longer gap"
            )
