"""Selective copy against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from surnn.errors import InvalidConfig
from surnn.tasks.benchmark import Split
from surnn.tasks.config import with_settings
from surnn.tasks.selective_copy import SelectiveCopy, fast


@pytest.mark.parametrize("length", [16, 17, 64])
def test_symbols_are_asked_for_in_their_order(length: int) -> None:
    task = SelectiveCopy(fast())
    batch = task.draw(np.random.default_rng(length), Split.TRAIN, 40, length)
    seen, asked = batch.frames.argmax(-1).numpy(), batch.targets.argmax(-1).numpy()
    assert (batch.frames.sum(-1) == 1).all()
    for row in range(40):
        symbols = [token for token in seen[row] if token < 8]
        assert len(symbols) == 8
        assert symbols == asked[row, -8:].tolist()
        assert (seen[row, -8:] == 9).all()
        assert (seen[row, :-8] != 9).all()
    assert (batch.weights.sum(dim=1) == 8).all()
    assert (batch.weights[:, -8:] == 1).all()


def test_places_are_spread_over_the_sequence() -> None:
    batch = SelectiveCopy(fast()).draw(np.random.default_rng(0), Split.TRAIN, 4000, 40)
    share = (batch.frames.argmax(-1)[:, :-8] < 8).float().mean(dim=0)
    assert (share - 8 / 32).abs().max() < 0.04


def test_a_sequence_that_is_too_short_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="12 frames cannot hold 8 symbols twice"):
        with_settings(fast(), {"curriculum": ((0.0, 12),)})
