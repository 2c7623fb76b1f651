"""The front end in torch against the float64 reference in numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from surnn.errors import InvalidShape
from surnn.frontend import log_mel
from surnn.nn.features import build_front_end
from surnn.spec import ModelSpec


@pytest.mark.parametrize("level", [0.0, 1e-5, 1e-2, 1.0])
def test_log_mel_equals_numpy(audio_spec: Callable[..., ModelSpec], level: float) -> None:
    spec = audio_spec()
    rng = np.random.default_rng(0)
    frames = (rng.standard_normal((50, 160)) * level).astype(np.float32)
    context = (rng.standard_normal(240) * level).astype(np.float32)
    expected, expected_context = log_mel(spec, frames, context)
    features, after = build_front_end(spec)(
        torch.from_numpy(frames)[None], torch.from_numpy(context)[None], torch.tensor([50])
    )
    assert np.abs(features[0].numpy() - expected).max() < 1e-5
    np.testing.assert_array_equal(after[0].numpy(), expected_context)


def test_context_stops_at_each_length(audio_spec: Callable[..., ModelSpec]) -> None:
    front = build_front_end(audio_spec())
    frames = torch.randn(3, 10, 160)
    _, after = front(frames, torch.zeros(3, 240), torch.tensor([10, 4, 0]))
    assert torch.equal(after[0], frames[0].flatten()[-240:])
    assert torch.equal(after[1], frames[1, :4].flatten()[-240:])
    assert torch.equal(after[2], torch.zeros(240))


def test_wrong_context_is_refused(audio_spec: Callable[..., ModelSpec]) -> None:
    front = build_front_end(audio_spec())
    with pytest.raises(InvalidShape, match=r"context is \[1, 64\], expected \[1, 240\]"):
        front(torch.zeros(1, 2, 160), torch.zeros(1, 64), torch.tensor([2]))


def test_scale_front_end(sensor_spec: ModelSpec) -> None:
    x = torch.randn(2, 5, 3)
    features, _ = build_front_end(sensor_spec)(x, torch.zeros(2, 0), torch.tensor([5, 5]))
    expected = (x - torch.tensor([0.0, 1.0, 2.0])) * torch.tensor([1.0, 0.5, 2.0])
    assert torch.equal(features, expected)
