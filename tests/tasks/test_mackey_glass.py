"""Mackey-Glass against an integration in much smaller steps."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from surnn.tasks.benchmark import Split
from surnn.tasks.mackey_glass import AHEAD, DELAY, WARM_UP, MackeyGlass, fast, integrate, series


def finely(past: NDArray[np.float64], steps: int, parts: int) -> NDArray[np.float64]:
    """Heun's method; `past` has `parts` values for each unit of time, and one more."""

    def drive(late: float) -> float:
        return 0.2 * late / (1 + late**10)

    x, delay = list(past), DELAY * parts
    for _ in range(steps * parts):
        now, late, later = x[-1], x[-1 - delay], x[-delay]
        begin = drive(late) - 0.1 * now
        end = drive(later) - 0.1 * (now + begin / parts)
        x.append(now + (begin + end) / 2 / parts)
    return np.array(x[len(past) - 1 + parts :: parts])


def test_series_follow_the_equation() -> None:
    """Smooth pasts, and few enough frames: chaos then parts any two integrations."""
    for phase in (0.0, 2.0):
        fine = 0.9 + 0.3 * np.sin(np.arange(DELAY * 100 + 1) / 500 + phase)
        expected = finely(fine, steps=60, parts=100)
        seen = integrate(fine[::100, None], 60)[:, 0]
        assert np.ptp(expected) > 0.3
        np.testing.assert_allclose(seen, expected, atol=5e-3)


def test_series_differ_and_stay_in_their_range() -> None:
    found = series(np.random.default_rng(1), 8, 600)
    assert found.shape == (8, 600)
    assert 0.2 < found.min() < 0.6
    assert 1.1 < found.max() < 1.5
    assert len({row.tobytes() for row in found}) == 8
    assert found.std(axis=1).min() > 0.1


def test_targets_are_the_future_in_standard_deviations() -> None:
    batch = MackeyGlass(fast()).draw(np.random.default_rng(2), Split.TRAIN, 3, 150)
    now, later = batch.frames[:, AHEAD:, 0], batch.targets[:, :-AHEAD, 0]
    torch.testing.assert_close((now - 0.92) / 0.23, later, atol=1e-5, rtol=0)
    assert batch.weights.sum(dim=1).tolist() == [150 - WARM_UP] * 3


def test_answering_the_mean_has_the_error_of_chance() -> None:
    task = MackeyGlass(fast())
    targets = task.draw(np.random.default_rng(3), Split.TEST, 64, 400).targets
    assert abs(task.figure(float(targets.square().mean())) - 1.0) < 0.05
