"""What lies between a sound and the samples that arrive."""

from __future__ import annotations

import numpy as np

from surnn.train import audio_effects as effects
from surnn.train.audio_codec import CODECS, coded
from surnn.train.config_data import ChannelConfig
from surnn.types import Float32

__all__ = ["channel"]


def channel(rng: np.random.Generator, mix: Float32, config: ChannelConfig, rate: int) -> Float32:
    """A clip [n] through microphone, level, sound card and line, as `config` draws them."""
    n = len(mix)
    response = None
    if rng.random() < config.equaliser:
        response = effects.equaliser_response(rng, n, rate, 8.0)
    line, band = rng.random(), None
    if line < config.telephone:
        band = effects.band_response(n, rate, rng.uniform(150, 300), rng.uniform(3200, 3600))
    elif line < config.telephone + config.low_rate:
        low_rate = float(rng.choice([8_000.0, 8_000.0, 11_025.0, 12_000.0]))
        band = effects.band_response(n, rate, 0.0, 0.49 * low_rate)
    if band is not None:
        response = band if response is None else response * band
    if response is not None:
        mix = effects.filtered(mix, response)
    peak = max(float(np.abs(mix).max()), 1e-9)
    mix = mix * np.float32(10.0 ** (rng.uniform(*config.peak_db) / 20.0) / peak)
    if rng.random() < config.clipping:
        peak = 10.0 ** (rng.uniform(3, 14) / 20.0)
        mix = np.clip(mix * np.float32(peak / max(float(np.abs(mix).max()), 1e-9)), -1.0, 1.0)
    if rng.random() < config.offset:
        # Behind the clipping: a clip is never all offset.
        mix = mix + np.float32(rng.uniform(-config.offset_level, config.offset_level))
    if line < config.telephone:
        a_law = config.a_law > 0 and rng.random() < config.a_law
        mix = effects.a_law(mix) if a_law else effects.mu_law(mix)
    elif rng.random() < 0.8:
        mix = effects.quantised(mix)
    if band is not None and rng.random() < 0.7:
        # Rounding happens at the low rate: nothing of it lies above the band.
        if line < config.telephone:
            band = effects.band_response(n, rate, 0.0, 4000.0)
        mix = effects.filtered(mix, band)
    mix = np.ascontiguousarray(mix, np.float32)
    if config.codec and rng.random() < config.codec:
        codec = tuple(CODECS)[int(rng.integers(len(CODECS)))]
        mix = coded(mix, codec, rate, rng.uniform(0.5, 1.0))
    return mix
