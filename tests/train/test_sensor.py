"""The activity task: batches, held-out subjects and what is reported of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from surnn.measures import class_f1, confusion
from surnn.nn import Network
from surnn.train.config import read_config
from surnn.train.sensor import SensorTask


@pytest.fixture
def task(world: Path, activity_toml: Path) -> SensorTask:
    return SensorTask(read_config(activity_toml), world)


def test_the_front_end_evens_out_the_channels(task: SensorTask) -> None:
    front = task.spec.frontend
    assert (task.spec.channels, task.spec.hop, front.type) == (6, 1, "scale")
    x = np.concatenate([e.by_time[0] for e in task.executions])
    even = (x - np.array(front.mean)) * np.array(front.scale)
    np.testing.assert_allclose(even.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(even.std(axis=0), 1.0, atol=1e-2)


def test_a_batch_is_repeatable_and_one_hot(task: SensorTask) -> None:
    batch = task.batch(2)
    assert batch.frames.shape == (3, 200, 6)
    assert batch.frames.dtype == torch.float32
    assert (batch.targets.sum(dim=-1) == 1).all()
    assert torch.equal(task.batch(2).frames, batch.frames)
    assert not torch.equal(task.batch(3).frames, batch.frames)


def test_labels_follow_the_movement(task: SensorTask) -> None:
    """Each activity has a level of its own, also after all variation."""
    batch = task.batch(0)
    size = batch.frames[..., :3].norm(dim=-1)
    label = batch.targets.argmax(dim=-1)
    means = [size[label == i].mean().item() for i in range(5)]
    assert means == sorted(means)


def test_a_report_measures_labels_devices_and_rows(task: SensorTask) -> None:
    torch.manual_seed(0)
    network = Network(task.spec)
    report = task.validate(network, final=True)
    main = report.figures["main"]
    assert isinstance(main, dict)
    assert main["frames"] == 1000
    assert 0.0 <= main["accuracy"] <= 1.0
    groups = report.figures["groups"]
    assert isinstance(groups, list)
    assert [g["group"] for g in groups] == ["phone", "watch", "rows taken as evenly spaced"]
    assert report.confusion is not None
    labels, table = report.confusion
    assert labels == task.spec.labels
    assert table.sum() == 1000
    assert (table.sum(axis=1) == 200).all()
    assert task.validate(network).score == report.score


def test_subjects_are_apart_and_named(task: SensorTask) -> None:
    train, valid = task.licences()
    assert (train["part"], valid["part"]) == ("subjects s01, s02", "subjects s03, s04")


def test_confusion_and_f1_by_hand() -> None:
    truth = np.array([0, 0, 1, 1, 1], np.uint8)
    table = confusion(truth, np.array([0, 1, 1, 1, 0]), 3)
    assert table.tolist() == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert class_f1(table).tolist() == pytest.approx([2 / 4, 4 / 6, 0.0])
