"""Words planted into running audio: targets, material kept apart, and a whole small run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import surnn
from surnn.dataset.audio import read_audio
from surnn.errors import InvalidConfig, InvalidInput
from surnn.segments import Segment
from surnn.train import train
from surnn.train.config import Config, read_config
from surnn.train.config_data import DataSet, WordsConfig
from surnn.train.held_out import word_recordings, write
from surnn.train.keywords import KeywordsTask, word_targets
from surnn.train.keywords_valid import _Heard, _Rule
from surnn.train.recordings import read_set
from surnn.train.word_mix import Planted
from surnn.types import EventKind, Float32

RATE = 16_000

TOML = """
task = "keywords"
seed = 5

[model]
name = "words"
labels = ["none", "low", "high"]
head = "softmax"
frontend = { type = "logmel", bands = 12 }
layers = [{ hidden = 8, switch = { mode = "input" } }]

[budget]
minutes = 5
steps = 4
batch = 3
seconds = 2.0
validate_steps = 2

[loss]
open_weight = 1.0
margin_weight = 1.0

[[keywords.sets]]
folder = "words"
kind = "words"
word = "word"
role = "train"
licence = "CC0"
find_speech = true
part_of = "speaker"
part = [0.0, 0.5]

[[keywords.sets]]
folder = "words"
kind = "words"
word = "word"
names = { HIGH = "high" }
role = "valid"
licence = "CC0"
find_speech = true
part_of = "speaker"
part = [0.5, 0.75]

[[keywords.sets]]
folder = "words"
kind = "words"
word = "word"
role = "test"
licence = "CC0"
find_speech = true
part_of = "speaker"
part = [0.75, 1.0]

[[keywords.sets]]
folder = "hiss"
kind = "noise"
role = "train"
licence = "CC0"

[[keywords.sets]]
folder = "hiss"
kind = "noise"
role = "valid"
licence = "CC0"
"""


def tone(hertz: float, seconds: float) -> Float32:
    t = np.arange(round(seconds * RATE)) / RATE
    return np.asarray(0.2 * np.sin(2 * np.pi * hertz * t), np.float32)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four speakers saying "low", "high" and "other" once each, in one file."""
    root = tmp_path_factory.mktemp("material")
    (root / "words").mkdir()
    (root / "hiss").mkdir()
    pieces, rows, at = [], ["file,start_sample,end_sample,word,speaker"], 0
    for i, speaker in enumerate(("ann", "bob", "cem", "dia")):
        for word, hertz in (("low", 300), ("high", 1500), ("other", 700)):
            clip = np.zeros(RATE, np.float32)
            clip[4000:10000] = tone(hertz * (1 + 0.02 * i), 6000 / RATE)
            pieces.append(clip)
            rows.append(f"all.flac,{at},{at + RATE},{word},{speaker}")
            at += RATE
    soundfile.write(root / "words" / "all.flac", np.concatenate(pieces), RATE)
    (root / "words" / "clips.csv").write_text("\n".join(rows) + "\n")
    hiss = 0.01 * np.random.default_rng(0).standard_normal(25 * RATE)
    soundfile.write(root / "hiss" / "a.flac", hiss, RATE)
    return root


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "words.toml"
    path.write_text(TOML)
    return path


def test_speakers_are_shared_out_and_words_renamed(material: Path) -> None:
    def clips(low: float, high: float, **names: str) -> list[str]:
        item = DataSet(
            folder="words",
            kind="words",
            role="train",
            licence="CC0",
            word="word",
            find_speech=True,
            part_of="speaker",
            part=(low, high),
            names=names,
        )
        return [
            (c.word, round(float(np.abs(c.samples).max()))) for c in read_set(material, item, RATE)
        ]

    assert len(clips(0, 0.5)) == 6
    assert len(clips(0.5, 0.75)) == 3
    assert {w for w, _ in clips(0, 1, other="noise")} == {"low", "high", "noise"}


def test_a_word_counts_once_it_is_over(config: Path, material: Path) -> None:
    task = KeywordsTask(read_config(config), material)
    word = Segment(1.0, 1.5, "high")
    planted = Planted(np.zeros(3 * RATE, np.float32), [word], [word])
    targets, weights, quiet = word_targets(planted, task.spec, task.words, "none")
    held = np.flatnonzero(targets[:, 2])
    assert (held[0], held[-1]) == (160, 189)  # from 0.1 s behind its end until 0.4 s behind it
    assert targets.sum(axis=1).tolist() == [1.0] * 300
    assert weights[:145].all()  # while it sounds nothing is to be said
    assert not weights[145:160].any()
    assert weights[160:190].all()
    assert not weights[190:195].any()
    assert weights[195:].all()
    assert quiet[:100].all()
    assert not quiet[100:190].any()


def test_words_stand_alone(config: Path, material: Path) -> None:
    task = KeywordsTask(read_config(config), material)
    pause = task.words.mix.pause
    found = 0
    for i in range(40):
        clip = task.mixer.clip(i)
        for word in clip.words:
            found += 1
            others = [s for s in clip.sounds if (s.start, s.end) != (word.start, word.end)]
            assert all(
                s.end <= word.start - pause + 1e-3 or s.start >= word.end + pause - 1e-3
                for s in others
            )
    assert found


def test_every_kind_of_item_has_a_level_and_a_place(config: Path, material: Path) -> None:
    items = KeywordsTask(read_config(config), material).mixer.items
    rng = np.random.default_rng(3)
    for draw in (items.other_word, items.impostor, items.burst):
        for item in (draw(rng) for _ in range(8)):
            assert item.label == ""
            assert 0.02 < np.abs(item.samples).max() < 2.0
            seconds = len(item.samples) / RATE
            assert all(0.0 <= s.start < s.end <= seconds + 0.01 for s in item.segments)
    word = items.word(rng, "low")
    assert [(s.label, word.alone) for s in word.segments] == [("low", True)]
    assert all(items.draw(rng, without=True).label == "" for _ in range(30))


def test_shares_must_leave_words_and_a_word_must_count(config: Path) -> None:
    config.write_text(TOML + "\n[keywords.mix]\nspeech = 0.8\n")
    with pytest.raises(InvalidConfig, match=r"expected less than 1: the rest are words"):
        read_config(config)
    config.write_text(
        TOML.replace("[[keywords.sets]]", "[keywords]\nafter = 0.5\n\n[[keywords.sets]]", 1)
    )
    with pytest.raises(InvalidConfig, match=r"hold is 0.4, expected more than after, 0.5"):
        read_config(config)


def test_clips_repeat_and_words_fit_in(config: Path, material: Path) -> None:
    task = KeywordsTask(read_config(config), material)
    first, second = task.batch(1), task.batch(1)
    assert torch.equal(first.frames, second.frames)
    assert first.quiet is not None
    assert first.quiet.shape == first.weights.shape == (3, 200)
    seen = set()
    for i in range(40):
        clip = task.mixer.clip(i)
        seen |= {w.label for w in clip.words}
        assert len(clip.samples) == 2 * RATE
        assert all(0 <= w.start < w.end <= 2.0 for w in clip.words)
    assert seen == {"low", "high"}


def test_a_label_that_nobody_says_is_refused(config: Path, material: Path) -> None:
    config.write_text(TOML.replace('"low", "high"]', '"low", "high", "never"]'))
    with pytest.raises(InvalidInput, match=r"hold no clip of \['never'\], expected some of each"):
        KeywordsTask(read_config(config), material)


def test_held_out_streams_are_written_for_surnn_eval(
    config: Path, material: Path, tmp_path: Path
) -> None:
    read = read_config(config)
    out = tmp_path / "held"
    assert write(word_recordings(read, material, "valid"), out, RATE, ("group",)) == 7
    found = read_audio(out)
    assert sorted(s.label for r in found for s in r.segments) == ["high", "high", "low", "low"]
    streams = KeywordsTask(read, material).validation.parts["valid"].words
    assert {s.group for s in streams} < {r.fields["group"] for r in found}
    assert found[0].seconds == pytest.approx(len(streams[0].samples) / RATE)
    nobody = read.model_copy(update={"keywords": task_without_words(read)})
    with pytest.raises(InvalidConfig, match="keeps no words for role 'valid'"):
        list(word_recordings(nobody, material, "valid"))


def task_without_words(config: Config) -> WordsConfig:
    assert config.keywords is not None
    kept = tuple(s for s in config.keywords.sets if s.role == "train")
    return config.keywords.model_copy(update={"sets": kept})


def test_alarms_are_counted_once_each(config: Path, material: Path) -> None:
    validation = KeywordsTask(read_config(config), material).validation
    probs = np.zeros((500, 3), np.float32)
    probs[:, 0] = 1.0
    probs[100:110, 1] = 0.9
    probs[112:120, 1] = 0.8  # within the refractory time
    probs[300:305, 2] = 0.6
    probs[400:402, 2] = 0.99  # not held for three frames
    assert validation._alarms([probs], _Rule(3)).tolist() == pytest.approx([0.9, 0.6])
    assert validation._score(probs, _Rule(3)) == (1, pytest.approx(0.9))
    assert validation._score(probs[200:], _Rule(3)) == (2, pytest.approx(0.6))
    mean = validation._score(probs, _Rule(1, smooth=0.1))
    # 0.9 (1 - exp(-1)) after ten frames, which the two of silence and the eight of 0.8 move.
    kept = 0.9 * (1 - np.exp(-1.0)) * np.exp(-0.2)
    assert mean == (1, pytest.approx(0.8 + (kept - 0.8) * np.exp(-0.8)))
    assert len(validation._alarms([probs], _Rule(1, smooth=0.1))) == 3


def test_one_false_event_does_not_choose_among_networks(config: Path, material: Path) -> None:
    validation = KeywordsTask(read_config(config), material).validation
    part = validation.parts["valid"]
    heard = [np.zeros((50, 3), np.float32) for _ in part.words]
    for probs, label in zip(heard, part.truth, strict=True):
        probs[:, label] = 0.5
    # So long that four times the allowed rate, and no less, is one false event: that of 0.8.
    rate = validation.config.false_per_hour
    empty = np.zeros((round(0.3 / rate * 3600 * validation.spec.frame_rate), 3), np.float32)
    empty[100:150, 1] = 0.8
    score, rule = validation._chosen(part, _Heard(heard, [empty], [], []))
    nothing = float((part.truth == 0).mean())
    assert 0 < nothing < 1
    assert score == pytest.approx((nothing + nothing + 1.0) / 3.0)
    assert rule.threshold > 0.5, "but the rule keeps to what is allowed"


def test_a_run_leaves_a_model_with_point_events(
    config: Path, material: Path, tmp_path: Path
) -> None:
    out = train(config, material, tmp_path / "out", progress=False)
    figures = json.loads((out / "metrics.json").read_text())
    assert figures["main"]["streams"] == 2 * 3  # each held-out word quiet, and in noise
    assert figures["main"]["hours_without_words"] == pytest.approx(20 / 3600)
    assert figures["test"]["main"]["streams"] == 3
    model = surnn.load(out)
    assert {r.min_on for r in model.spec.events} == {figures["hold_seconds"]}
    assert {r.smooth for r in model.spec.events} == {figures["smooth_seconds"]}
    assert {r.on for r in model.spec.events} == {figures["threshold"]}
    assert [(r.label, r.point) for r in model.spec.events] == [("low", True), ("high", True)]
    loud = {"low": {"on": 0.0, "off": 0.0, "min_on": 0.0}}
    with model.stream(thresholds=loud) as stream:
        events = [e for c in stream.feed(tone(300, 0.5)) for e in c.events if e.label == "low"]
    assert [e.kind for e in events] == [EventKind.POINT]
