"""Settings of a task, changed by name."""

from __future__ import annotations

from typing import Any

import pytest

from surnn.errors import InvalidConfig
from surnn.tasks.adding import fast
from surnn.tasks.config import with_settings


def test_settings_are_changed_by_name() -> None:
    config = with_settings(fast(), {"optimiser.lr": 0.5, "length": 64, "switches.soft": True})
    assert (config.optimiser.lr, config.length, config.switches.soft) == (0.5, 64, True)
    assert config.model_copy(update={"length": 1000}) != fast()
    assert with_settings(fast(), {}) == fast()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"optimizer.lr": 1.0}, "no setting 'optimizer.lr': 'optimizer' is not a table"),
        ({"optimiser.rate": 1.0}, "no setting 'optimiser.rate', expected one of .*'lr'"),
        ({"lenght": 1}, "no setting 'lenght', expected one of .*'length'"),
        ({"optimiser.lr": -1.0}, r"optimiser\.lr: Input should be greater than 0"),
        ({"length": "long"}, "length: Input should be a valid integer"),
        ({"seed.x": 1}, "no setting 'seed.x': 'seed' is not a table"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidConfig, match=complaint):
        with_settings(fast(), changes)


def test_training_sequences_grow_by_the_curriculum() -> None:
    changes = {"curriculum": ((0.0, 16), (0.5, 32), (0.9, 64)), "budget.steps": 100, "length": 64}
    config = with_settings(fast(), changes)
    lengths = [config.training_length(number) for number in range(100)]
    assert lengths == [16] * 50 + [32] * 40 + [64] * 10
    assert fast().training_length(0) == fast().length
