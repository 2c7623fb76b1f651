"""Images as sequences: which pixels come when, and for whom images are."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from surnn.errors import InvalidConfig, InvalidInput
from surnn.tasks.benchmark import Split
from surnn.tasks.config import with_settings
from surnn.tasks.idx import read_idx
from surnn.tasks.sequential_mnist import MnistConfig, SequentialMnist, fast, fast_permuted

QUARTER = {"pool": 2, "length": 196}


def test_one_pixel_a_frame_and_the_digit_at_the_end(mnist: Path) -> None:
    task = SequentialMnist(fast(), mnist)
    (batch,) = task.held_out(Split.TEST)
    images = read_idx(mnist / "mnist", "t10k-images-idx3-ubyte", 3)
    seen = batch.frames.numpy().reshape(-1, 28, 28) * 255
    np.testing.assert_allclose(seen, images, atol=1e-4)
    assert batch.targets[:, -1].argmax(-1).tolist() == list(range(8))
    assert batch.weights.sum(dim=1).tolist() == [1.0] * 8
    assert batch.weights[:, -1].tolist() == [1.0] * 8


def test_squares_of_pixels_become_their_mean(mnist: Path) -> None:
    task = SequentialMnist(with_settings(fast(), QUARTER), mnist)
    (batch,) = task.held_out(Split.TEST)
    images = read_idx(mnist / "mnist", "t10k-images-idx3-ubyte", 3).astype(float)
    assert batch.frames.shape == (8, 196, 1)
    expected = images[3, 4:6, 10:12].mean() / 255  # row 2, column 5
    assert batch.frames[3, 2 * 14 + 5, 0].item() == pytest.approx(expected, abs=1e-6)


def test_permuted_pixels_are_the_same_in_one_order_for_all(mnist: Path) -> None:
    plain, mixed = (SequentialMnist(config, mnist) for config in (fast(), fast_permuted()))
    orders = []
    for split in Split:
        a, b = (
            torch.cat([batch.frames for batch in task.held_out(split)])[..., 0]
            for task in (plain, mixed)
        )
        orders.append([(a == b[:, i : i + 1]).all(dim=0).nonzero().item() for i in range(784)])
    assert orders[0] == orders[1] == orders[2]
    assert orders[0] != list(range(784)) == sorted(orders[0])


def test_no_image_is_in_two_splits(mnist: Path) -> None:
    task = SequentialMnist(fast(), mnist)
    drawn = task.draw(np.random.default_rng(0), Split.TRAIN, 400, 784).frames
    splits = [{x.numpy().tobytes() for x in drawn}]
    for split in (Split.VALID, Split.TEST):
        splits.append({x.numpy().tobytes() for b in task.held_out(split) for x in b.frames})
    assert [len(images) for images in splits] == [14, 6, 8]
    assert len(set.union(*splits)) == 28


def test_the_aim_is_for_whole_plain_images(mnist: Path) -> None:
    aims = [
        SequentialMnist(config, mnist).metric.aim
        for config in (fast(), with_settings(fast(), QUARTER), fast_permuted())
    ]
    assert aims == [0.97, None, None]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"length": 100}, "length is 100, expected 784"),
        ({"pool": 2}, "length is 784, expected 196"),
        ({"pool": 3}, "squares of 3 pixels do not fill 28 x 28"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, int], complaint: str) -> None:
    with pytest.raises(InvalidConfig, match=complaint):
        with_settings(fast(), changes)


def test_missing_or_odd_data_is_named(mnist: Path, tmp_path: Path) -> None:
    config: MnistConfig = fast()
    with pytest.raises(InvalidConfig, match="needs a data folder with MNIST's IDX files"):
        SequentialMnist(config, None)
    with pytest.raises(InvalidInput, match="is not a folder, expected MNIST's IDX files"):
        SequentialMnist(config, tmp_path / "nowhere")
    small = bytes([0, 0, 8, 3, 0, 0, 0, 20, 0, 0, 0, 14, 0, 0, 0, 14]) + bytes(20 * 14 * 14)
    packed = mnist / "mnist" / "train-images-idx3-ubyte.gz"
    packed.write_bytes(gzip.compress(small))
    with pytest.raises(InvalidInput, match=r"images are \(14, 14\), expected 28 x 28"):
        SequentialMnist(config, mnist)
    few = bytes([0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 28, 0, 0, 0, 28]) + bytes(9 * 28 * 28)
    packed.write_bytes(gzip.compress(few))
    with pytest.raises(InvalidInput, match="9 images and 20 labels"):
        SequentialMnist(config, mnist)
