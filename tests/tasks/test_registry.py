"""All tasks: found by name, with settings that make a network for both sizes."""

from __future__ import annotations

import pytest

from surnn.errors import InvalidConfig
from surnn.spec import ModelSpec
from surnn.tasks.registry import TASKS, Settings, task_entry

GENERATED = [name for name in TASKS if "mnist" not in name and name != "spoken-digits"]


def test_an_unknown_task_is_refused_with_the_choices() -> None:
    with pytest.raises(InvalidConfig, match="no task 'sorting', expected one of adding, "):
        task_entry("sorting")


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("settings", Settings)
def test_settings_are_valid_as_they_stand(name: str, settings: Settings) -> None:
    """`model_copy` checks nothing: what came of it is checked here."""
    config = TASKS[name].settings[settings]()
    assert type(config).model_validate(config.model_dump()) == config
    assert (config.budget.device == "cuda") == (settings is Settings.PAPER)


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize("settings", Settings)
def test_a_batch_fits_the_model(name: str, settings: Settings) -> None:
    config = TASKS[name].settings[settings]()
    budget = config.budget.model_copy(update={"batch": 2})
    task = TASKS[name].make(config.model_copy(update={"budget": budget}), None)
    spec: ModelSpec = task.spec
    batch, length = task.batch(0), config.training_length(0)
    assert batch.frames.shape == (2, length, spec.frame_size)
    assert batch.targets.shape == (2, length, len(spec.labels))
    assert batch.weights.shape == (2, length)
    assert batch.weights.sum() > 0
