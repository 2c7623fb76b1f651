"""Phone and watch recordings: reading, resampling, turning."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from surnn.dataset.motion import labelled_grid, read_executions, tilted
from surnn.errors import InvalidInput

ACTIVITIES = ("SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN")


def test_executions_come_in_units_and_by_device(world: Path) -> None:
    found = read_executions(world / "motion", "train", 100, ACTIVITIES)
    assert [(e.device, e.subject) for e in found] == [
        ("phone", "s01"),
        ("phone", "s02"),
        ("watch", "s01"),
        ("watch", "s02"),
    ]
    for e in found:
        samples, labels = e.by_time
        assert (samples.shape, samples.dtype) == ((250, 6), np.float32)
        for activity in range(5):
            mean = samples[labels == activity].mean(axis=0)
            np.testing.assert_allclose(mean[:3], 1.6 * activity, atol=0.25)
            np.testing.assert_allclose(mean[3:], 0.8 * activity, atol=0.15)


def test_uneven_rows_land_on_an_labelled_grid() -> None:
    rng = np.random.default_rng(0)
    seconds = np.sort(rng.uniform(0, 5, 700))
    seconds[0], seconds[-1] = 0.0, 5.0
    ramp = np.stack([seconds, 10 - seconds], axis=1).astype(np.float32)
    even, labels = labelled_grid(ramp, (seconds >= 2.5).astype(np.uint8), seconds, 100)
    assert even.shape == (501, 2)
    np.testing.assert_allclose(even[:, 0], np.arange(501) / 100, atol=1e-5)
    assert abs(int(np.argmax(labels)) - 250) <= 1


def test_rows_with_one_time_stamp_are_averaged() -> None:
    seconds = np.array([0.0, 0.0, 0.01, 0.01, 0.02])
    samples = np.array([[0.0], [2.0], [5.0], [7.0], [4.0]], np.float32)
    even, labels = labelled_grid(samples, np.array([1, 1, 2, 2, 3], np.uint8), seconds, 100)
    np.testing.assert_allclose(even[:, 0], [1.0, 6.0, 4.0], atol=1e-6)
    assert labels.tolist() == [1, 2, 3]


def test_tilting_keeps_lengths_and_angles() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((50, 6)).astype(np.float32)
    turned = tilted(rng, x, 0.4)
    for a, b in ((x[:, :3], turned[:, :3]), (x[:, 3:], turned[:, 3:])):
        np.testing.assert_allclose(a @ a.T, b @ b.T, atol=1e-5)
        cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert cosine.min() > np.cos(0.41)
    assert not np.allclose(x, turned)
    np.testing.assert_allclose(tilted(rng, x, 0.0), x, atol=1e-6)


def test_broken_folders_are_refused_by_name(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"train.npz: no such file"):
        read_executions(tmp_path, "train", 100, ACTIVITIES)
    folder = tmp_path / "motion"
    shutil.copytree(world / "motion", folder)
    with pytest.raises(InvalidInput, match=r"labels are \['SEATED'.*expected \['A', 'B'\]"):
        read_executions(folder, "train", 100, ("A", "B"))
    index = folder / "train_index.csv"
    head = "device,start_row,end_row,subject,execution\n"
    for row, message in (
        ("xx,0,10,s01,a", r"train_index.csv:2: device is 'xx'"),
        ("sp,0,501,s01,a", r"train_index.csv:2: rows 0 to 501, but there are 500"),
        ("sp,0,ten,s01,a", r"rows 0 to ten"),
    ):
        index.write_text(f"{head}{row}\n")
        with pytest.raises(InvalidInput, match=message):
            read_executions(folder, "train", 100, ACTIVITIES)
    index.write_text(head)
    with pytest.raises(InvalidInput, match="holds no executions"):
        read_executions(folder, "train", 100, ACTIVITIES)
    (folder / "train.npz").write_text("not a zip")
    with pytest.raises(InvalidInput, match=r"train.npz: not readable as .npz"):
        read_executions(folder, "train", 100, ACTIVITIES)
