"""Mixed clips: the right labels, levels and variety, and the same ones for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from surnn.train.audio_channel import channel
from surnn.train.audio_mix import Mixer, Sources
from surnn.train.config_data import ChannelConfig, DataSet, MixConfig
from surnn.train.recordings import Pool, read_pool
from surnn.train.synthetic import synthetic_clips

RATE, HOP, FRAMES = 16_000, 160, 400
PLAIN = MixConfig(
    no_speech=0.0,
    clean=1.0,
    room=0.0,
    equaliser=0.0,
    tempo=0.0,
    peak_db=(-6.0, -6.0),
    clipping=0.0,
    offset=0.0,
    telephone=0.0,
    low_rate=0.0,
    drop_out=0.0,
    music=0.0,
    synthetic_noise=0.0,
    second_noise=0.0,
)


def pool(world: Path, folder: str, kind: str) -> Pool:
    item = DataSet.model_validate(
        {"folder": folder, "kind": kind, "role": "train", "licence": "CC0"}
    )
    return read_pool(world, [item], RATE)


@pytest.fixture(scope="module")
def sources(world: Path) -> Sources:
    return Sources(
        pool(world, "voices", "speech"),
        pool(world, "hiss", "noise"),
        Pool((), ()),
        Pool((synthetic_clips(1, RATE),), (1.0,)),
    )


def mixer(sources: Sources, seed: int = 0, **changes: object) -> Mixer:
    config = PLAIN.model_copy(update=changes)
    return Mixer(sources, config, rate=RATE, hop=HOP, frames=FRAMES, seed=seed)


def test_a_clip_depends_on_seed_and_number_alone(sources: Sources) -> None:
    everything = MixConfig(noise_variation=0.5)
    make = Mixer(sources, everything, rate=RATE, hop=HOP, frames=FRAMES, seed=1)
    clips = [make.clip(i) for i in range(6)]
    again = Mixer(sources, everything, rate=RATE, hop=HOP, frames=FRAMES, seed=1)
    for i in (5, 0, 3):
        np.testing.assert_array_equal(again.clip(i).samples, clips[i].samples)
        np.testing.assert_array_equal(again.clip(i).labels, clips[i].labels)
    assert not np.array_equal(clips[0].samples, clips[1].samples)


def test_labels_lie_where_the_voice_is(sources: Sources) -> None:
    for tempo in (0.0, 1.0):
        make = mixer(sources, tempo=tempo)
        for i in range(20):
            clip = make.clip(i)
            level = np.abs(clip.samples.reshape(FRAMES, HOP)).max(axis=1)
            assert (clip.labels == (level > 1e-3)).mean() > 0.97
            assert clip.snr is None


def test_any_channel_keeps_shape_type_and_sense(sources: Sources) -> None:
    make = Mixer(sources, MixConfig(), rate=RATE, hop=HOP, frames=FRAMES, seed=3)
    shares = []
    for i in range(60):
        clip = make.clip(i)
        assert clip.samples.shape == (FRAMES * HOP,)
        assert clip.samples.dtype == np.float32
        assert clip.labels.shape == (FRAMES,)
        assert np.isfinite(clip.samples).all()
        assert np.abs(clip.samples).max() < 3.0
        shares.append(clip.labels.mean())
    assert min(shares) == 0.0
    assert 0.2 < np.mean(shares) < 0.8


def test_an_offset_never_hides_the_sound() -> None:
    config = ChannelConfig(offset=1.0, offset_level=0.5, clipping=1.0)
    wave = (0.01 * np.sin(np.arange(4000) / 7.0)).astype(np.float32)
    for seed in range(20):
        out = channel(np.random.default_rng(seed), wave, config, RATE)
        assert out.std() > 1e-3 * np.abs(out).max()


@pytest.mark.parametrize("snr", [0.0, 10.0, 20.0])
def test_noise_lies_as_far_below_the_speech_as_asked(sources: Sources, snr: float) -> None:
    make = mixer(sources, clean=0.0, snr_db=(snr, snr))
    found = []
    for i in range(9):
        clip = make.clip(i)
        assert clip.snr == (snr if clip.segments else None)
        inside = np.zeros(FRAMES * HOP, bool)
        for s in clip.segments:
            inside[int(s.start * RATE) : int(s.end * RATE)] = True
        # Hiss is heard alone in the pauses, and adds to the speech elsewhere.
        if 0.1 < inside.mean() < 0.9:
            noise = np.mean(clip.samples[~inside] ** 2)
            speech = np.mean(clip.samples[inside] ** 2) - noise
            found.append(10 * np.log10(max(speech / noise, 1e-3)))
    # Some noises change their level half way: the others decide.
    assert np.median(found) == pytest.approx(snr, abs=1.0)


def test_streams_without_speech_hold_noise_or_nothing(sources: Sources) -> None:
    noisy = mixer(sources, no_speech=1.0, clean=0.0).clip(0)
    assert not noisy.labels.any()
    assert np.abs(noisy.samples).max() == pytest.approx(10 ** (-6 / 20), rel=1e-3)
    silent = mixer(sources, no_speech=1.0).clip(0)
    assert not silent.samples.any()


def test_a_drop_out_is_digital_silence_without_speech(sources: Sources) -> None:
    make = mixer(sources, drop_out=1.0, clean=0.0, snr_db=(0.0, 0.0))
    for i in range(10):
        clip = make.clip(i)
        silent = ~clip.samples.reshape(FRAMES, HOP).any(axis=1)
        assert silent.sum() > 0
        assert clip.labels[silent].mean() < 0.05


def test_telephone_clips_hold_nothing_above_the_band(sources: Sources) -> None:
    make = mixer(sources, telephone=1.0, clean=0.0)
    quiet = 0
    for i in range(10):
        power = np.abs(np.fft.rfft(make.clip(i).samples)) ** 2
        quiet += bool(power[len(power) * 5 // 8 :].mean() < 1e-6 * power.mean())
    assert quiet >= 4


def test_levels_span_the_range(sources: Sources) -> None:
    make = mixer(sources, peak_db=(-45.0, 0.0))
    highest = np.array([np.abs(make.clip(i).samples).max() for i in range(40)])
    peaks = 20 * np.log10(highest[highest > 0])
    assert peaks.min() < -38
    assert peaks.max() > -7
