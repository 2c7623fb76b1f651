"""The voice task: batches, held-out streams and what is reported of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from surnn.nn import Network
from surnn.train.config import read_config
from surnn.train.voice import VoiceTask


@pytest.fixture(scope="module")
def task(world: Path, tmp_path_factory: pytest.TempPathFactory, voice_text: str) -> VoiceTask:
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(voice_text)
    return VoiceTask(read_config(path), world)


def test_a_batch_holds_frames_targets_and_weights(task: VoiceTask) -> None:
    batch = task.batch(0)
    assert batch.frames.shape == (4, 100, 160)
    assert batch.targets.shape == (4, 100, 1)
    assert batch.weights.shape == (4, 100)
    assert (batch.weights[:, :10] == 0).all()
    assert torch.equal(task.batch(0).frames, batch.frames)
    assert not torch.equal(task.batch(1).frames, batch.frames)


def test_held_out_streams_cover_sets_and_levels(task: VoiceTask) -> None:
    groups = {(s.group, s.snr) for s in task.validation.streams}
    assert {snr for group, snr in groups if group == "voices"} == {None, 0.0, 5.0, 10.0, 20.0}
    assert ("voices, telephone", 10.0) in groups
    assert {"noise alone", "digital silence"} <= {group for group, _ in groups}
    for stream in task.validation.streams:
        assert stream.samples.shape == (300 * 160,)
        assert stream.labels.any() == stream.group.startswith("voices") or not stream.labels.any()


def test_held_out_streams_are_always_the_same(task: VoiceTask, world: Path) -> None:
    again = VoiceTask(task.config, world).validation
    for a, b in zip(task.validation.streams, again.streams, strict=True):
        np.testing.assert_array_equal(a.samples, b.samples)


def test_a_report_measures_every_group(task: VoiceTask) -> None:
    torch.manual_seed(0)
    network = Network(task.spec)
    report = task.validate(network, final=True)
    main = report.figures["main"]
    assert isinstance(main, dict)
    assert main["frames"] == 4 * 2 * 300
    assert 0.1 < main["open_rate"] < 0.3
    groups = report.figures["groups"]
    assert isinstance(groups, list)
    assert {"group", "snr_db", "auc", "f1", "miss_rate"} <= set(groups[0])
    (silence,) = [g for g in groups if g["group"] == "digital silence"]
    assert silence["auc"] is None
    assert list(report.curves) == ["0 dB", "5 dB", "10 dB", "20 dB"]
    assert [len(r) for r in report.neuron_rates] == [8]
    assert report.example is not None
    assert report.example.gates[0].shape == (300, 8)
    assert report.score == task.validate(network).score, "measuring leaves no trace"


def test_too_many_open_switches_cost_score(task: VoiceTask) -> None:
    torch.manual_seed(0)
    network = Network(task.spec)
    before = task.validate(network)
    with torch.no_grad():
        for layer in network.layers:
            layer.switch.bias.fill_(50.0)  # type: ignore[union-attr, operator]
    after = task.validate(network)
    assert after.figures["main"]["open_rate"] == 1.0  # type: ignore[index]
    assert after.score < before.score - 0.2


def test_the_score_may_count_what_noise_alone_passes(task: VoiceTask) -> None:
    torch.manual_seed(0)
    network = Network(task.spec)
    plain = task.validate(network)
    valid = task.validation
    valid.false_share = 0.25
    try:
        report = task.validate(network)
    finally:
        valid.false_share = None
    found = report.figures["found_at_false_share"]
    assert isinstance(found, float)
    assert "found_at_false_share" not in plain.figures
    assert report.score == pytest.approx((2.0 * plain.score + found) / 3.0)
    outcome = valid._run(network)
    alone = outcome.probs[~valid.truth.any(axis=1)]
    threshold = np.sort(alone.ravel())[-alone.size // 4]
    assert found == pytest.approx((outcome.probs[valid.truth] > threshold).mean(), abs=0.02)


def test_made_up_cries_are_part_of_the_noise(task: VoiceTask, world: Path) -> None:
    audio = task.audio.model_copy(update={"mix": task.audio.mix.model_copy(update={"cries": 2.0})})
    config = task.config.model_copy(update={"audio": audio})
    pool = VoiceTask(config, world).mixer.sources.synthetic
    rng = np.random.default_rng(0)
    drawn = [pool.draw(rng).name for _ in range(600)]
    assert drawn.count("cries") == pytest.approx(400, abs=50)
    assert len(task.mixer.sources.synthetic.sets) == 1


def test_thresholds_and_events_come_from_the_report(task: VoiceTask) -> None:
    network = Network(task.spec)
    report = task.validate(network)
    report.threshold = 0.9
    spec = task.finished_spec(network, report)
    assert spec.threshold == 0.9
    assert (spec.events[0].on, spec.events[0].off) == (0.95, 0.75)
    report.threshold = 0.1
    assert task.finished_spec(network, report).events[0].off == 0.05


def test_the_card_can_list_the_data(task: VoiceTask) -> None:
    rows = task.licences()
    assert [(r["folder"], r["role"], r["licence"]) for r in rows] == [
        ("voices", "train", "CC0"),
        ("voices", "valid", "CC0"),
        ("hiss", "train", "CC BY-SA 4.0"),
        ("hiss", "valid", "CC0"),
    ]
