"""Codecs change what is heard, and nothing of when."""

from __future__ import annotations

import numpy as np
import pytest

from surnn.train.audio_channel import channel
from surnn.train.audio_codec import CODECS, coded
from surnn.train.config_data import ChannelConfig

T = np.arange(32_000) / 16_000
TONE = (0.3 * np.sin(2 * np.pi * 440 * T) * (np.sin(6 * np.pi * T) > 0)).astype(np.float32)


@pytest.mark.parametrize("codec", CODECS)
def test_a_codec_changes_the_sound_and_not_its_time(codec: str) -> None:
    out = coded(TONE, codec, 16_000)
    assert out.shape == TONE.shape
    assert np.abs(out - TONE).max() > 1e-3
    best = max(range(-400, 401, 10), key=lambda lag: float(np.dot(np.roll(TONE, lag), out)))
    assert abs(best) <= 10


@pytest.mark.parametrize("codec", CODECS)
def test_at_less_than_full_strength_more_is_left_of_it(codec: str) -> None:
    rng = np.random.default_rng(0)
    noisy = TONE + 0.05 * rng.standard_normal(len(TONE)).astype(np.float32)
    hard, soft = (np.square(coded(noisy, codec, 16_000, s) - noisy).mean() for s in (1.0, 0.5))
    assert soft < hard


def test_some_clips_go_through_one() -> None:
    plain: dict[str, float | tuple[float, float]] = {
        "equaliser": 0.0,
        "clipping": 0.0,
        "offset": 0.0,
        "telephone": 0.0,
        "low_rate": 0.0,
        "peak_db": (-10.0, -10.0),
    }

    def sent(codec: float, seed: int) -> np.ndarray:
        config = ChannelConfig.model_validate(plain | {"codec": codec})
        return channel(np.random.default_rng(seed), TONE, config, 16_000)

    changed = [not np.allclose(sent(0.5, seed), sent(0.0, seed), atol=1e-4) for seed in range(16)]
    assert 3 <= sum(changed) <= 13
