"""The adding problem against its definition."""

from __future__ import annotations

import numpy as np
import torch

from surnn.tasks.adding import Adding, fast
from surnn.tasks.benchmark import Split


def test_the_answer_is_the_sum_of_the_two_marked_numbers() -> None:
    batch = Adding(fast()).draw(np.random.default_rng(1), Split.TRAIN, 50, 31)
    numbers, marks = batch.frames.unbind(-1)
    assert set(marks.unique().tolist()) == {0.0, 1.0}
    assert (marks[:, :15].sum(dim=1) == 1).all()
    assert (marks[:, 15:].sum(dim=1) == 1).all()
    torch.testing.assert_close(batch.targets[:, -1, 0], (numbers * marks).sum(dim=1))
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert (batch.weights[:, :-1] == 0).all()
    assert (batch.weights[:, -1] == 1).all()


def test_a_constant_answer_has_the_error_of_chance() -> None:
    task = Adding(fast())
    batch = task.draw(np.random.default_rng(2), Split.TEST, 4000, 8)
    error = (batch.targets[:, -1] - 1).square().mean().item()
    assert task.metric.chance is not None
    assert abs(error - task.metric.chance) < 0.01


def test_the_aim_is_strict() -> None:
    metric = Adding(fast()).metric
    assert metric.reached(0.0099)
    assert not metric.reached(0.01)
