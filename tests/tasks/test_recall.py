"""Recall after silence against its definition."""

from __future__ import annotations

import numpy as np
import torch

from surnn.nn import Network
from surnn.tasks.benchmark import Split
from surnn.tasks.recall import Recall, fast


def test_bits_are_shown_once_and_asked_for_at_the_end() -> None:
    batch = Recall(fast()).draw(np.random.default_rng(1), Split.TRAIN, 30, 25)
    frames = batch.frames.round()
    bits, store, now = frames[..., :8], frames[..., 8], frames[..., 9]
    assert (store.sum(dim=1) == 1).all()
    assert (now[:, :-1] == 0).all()
    assert (now[:, -1] == 1).all()
    shown = bits[store == 1]
    assert (bits[store == 0] == 0).all()
    assert torch.equal((shown + 1) / 2, batch.targets[:, -1])
    assert not store[:, -1].any()
    assert batch.weights.sum() == 30


def test_silence_is_weak_noise() -> None:
    batch = Recall(fast()).draw(np.random.default_rng(2), Split.TRAIN, 50, 40)
    rest = batch.frames[:, :, :8][(batch.frames.round()[..., 8] == 0)]
    assert abs(rest.std().item() - 0.02) < 0.001
    assert rest.unique().numel() > 0.9 * rest.numel()


def test_the_curve_asks_after_every_length() -> None:
    torch.manual_seed(0)
    task = Recall(fast().model_copy(update={"silence": (0.1, 1.0), "silence_sequences": 3}))
    points = task.remembered(Network(task.spec))
    assert [point.seconds for point in points] == [0.1, 1.0]
