"""What all tasks share: seeded data, held-out sequences, the figure."""

from __future__ import annotations

import pytest
import torch

from surnn.nn import Network
from surnn.tasks.adding import Adding, fast
from surnn.tasks.benchmark import Metric, Split
from surnn.tasks.config import with_settings
from surnn.tasks.mackey_glass import MackeyGlass
from surnn.tasks.mackey_glass import fast as mackey_glass

SMALL = {"length": 16, "valid_sequences": 70, "test_sequences": 5}


def test_batches_depend_on_seed_and_number_alone() -> None:
    tasks = [Adding(with_settings(fast(), {**SMALL, "seed": seed})) for seed in (1, 1, 2)]
    tasks[1].batch(7)
    first, again, other = (task.batch(3).frames for task in tasks)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, tasks[0].batch(4).frames)


def test_held_out_sequences_are_the_same_for_every_seed() -> None:
    tasks = [Adding(with_settings(fast(), {**SMALL, "seed": seed})) for seed in (1, 2)]
    for split, count in ((Split.VALID, 70), (Split.TEST, 5)):
        one, other = (torch.cat([b.frames for b in task.held_out(split)]) for task in tasks)
        assert torch.equal(one, other)
        assert len(one) == count
    valid, test = (next(iter(tasks[0].held_out(s))).frames for s in (Split.VALID, Split.TEST))
    assert not torch.equal(valid[:5], test)


@pytest.mark.parametrize(
    ("higher", "aim", "value", "reached"),
    [
        (True, 0.9, 0.9, True),
        (True, 0.9, 0.89, False),
        (False, 0.1, 0.1, False),
        (True, None, 1, None),
    ],
)
def test_aims(higher: bool, aim: float | None, value: float, reached: bool | None) -> None:
    assert Metric("m", higher_is_better=higher, aim=aim).reached(value) is reached


def test_validation_scores_are_higher_for_better_networks() -> None:
    """The MSE of the adding problem is negated; Mackey-Glass has its root taken."""
    torch.manual_seed(0)
    task = Adding(with_settings(fast(), SMALL))
    report = task.validate(Network(task.spec))
    assert report.score == -report.figures["MSE"]
    assert report.figures["MSE"] > 0
    chaotic = MackeyGlass(with_settings(mackey_glass(), {"length": 120, "valid_sequences": 4}))
    found = chaotic.measure(Network(chaotic.spec), Split.VALID)
    assert found.value == pytest.approx(chaotic.figure(found.value**2))
