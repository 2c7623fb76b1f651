"""Data sets as pools of clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from surnn.errors import InvalidAudio, InvalidInput
from surnn.segments import frame_labels
from surnn.train.config_data import DataSet
from surnn.train.recordings import Clip, Pool, find_speech, read_pool, read_set

RATE = 16_000


def voices(**changes: object) -> DataSet:
    values: dict[str, object] = {
        "folder": "voices",
        "kind": "speech",
        "role": "train",
        "licence": "CC0",
    }
    return DataSet.model_validate(values | changes)


def test_clips_are_cut_with_their_segments(world: Path) -> None:
    clips = read_set(world, voices(), RATE)
    assert len(clips) == 6
    for clip in clips:
        assert (len(clip.samples), clip.samples.dtype) == (24_000, np.int16)
        ((start, end),) = [(s.start, s.end) for s in clip.segments]
        assert (start, end) == pytest.approx((0.25, 1.25))
        assert np.abs(clip.samples[:3900]).max() == 0
        assert np.abs(clip.samples[4000:4200]).max() > 1000


def test_a_set_can_be_narrowed(world: Path) -> None:
    held = read_set(world, voices(where={"split": ("valid",)}), RATE)
    assert [c.name for c in held] == ["two.flac"] * 3
    assert [c.name for c in read_set(world, voices(files=("one.flac",)), RATE)] == ["one.flac"] * 3
    assert len(read_set(world, voices(part=(0.0, 0.5)), RATE)) == 3
    with pytest.raises(InvalidInput, match="no clip is left"):
        read_set(world, voices(where={"split": ("test",)}), RATE)


def test_clips_come_at_the_rate_asked_for(world: Path) -> None:
    (clip, *_) = read_set(world, voices(), 8_000)
    assert len(clip.samples) == 12_000
    assert clip.segments[0].end == pytest.approx(1.25)


def test_speech_is_found_by_energy_where_nobody_labelled_it(world: Path) -> None:
    given = read_set(world, voices(), RATE)
    found = read_set(world, voices(find_speech=True), RATE)
    for a, b in zip(given, found, strict=True):
        truth, seen = (frame_labels(c.segments, "speech", 150, 100.0) for c in (a, b))
        assert (truth == seen).mean() > 0.92


def test_silence_holds_no_speech() -> None:
    assert find_speech(np.zeros(100, np.float32), RATE) == []


def test_noise_is_taken_whole_when_there_is_no_table(world: Path) -> None:
    noise = read_set(world, voices(folder="hiss", kind="noise"), RATE)
    assert [(c.name, len(c.samples), c.segments) for c in noise] == [
        ("a.flac", 4 * RATE, ()),
        ("b.flac", 4 * RATE, ()),
    ]


def test_broken_sets_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no data set 'voices'"):
        read_set(tmp_path, voices(), RATE)
    folder = tmp_path / "voices"
    folder.mkdir()
    soundfile.write(folder / "a.flac", np.zeros(RATE), RATE)
    (folder / "clips.csv").write_text("file,start_sample,end_sample\na.flac,0,16001\n")
    (folder / "segments.csv").write_text("file,start_s,end_s,label\na.flac,0,1,speech\n")
    with pytest.raises(InvalidInput, match=r"clips.csv:2: samples 0 to 16001, but a.flac holds"):
        read_set(tmp_path, voices(), RATE)
    (folder / "clips.csv").write_text("file,start_sample,end_sample\na.flac,0,x\n")
    with pytest.raises(InvalidInput, match=r"clips.csv:2: end_sample is 'x'"):
        read_set(tmp_path, voices(), RATE)
    (folder / "clips.csv").unlink()
    (folder / "segments.csv").write_text("file,start_s,end_s,label\na.flac,0,2,speech\n")
    with pytest.raises(InvalidInput, match=r"segments.csv:2: end_s is 2"):
        read_set(tmp_path, voices(), RATE)
    (folder / "a.flac").write_text("hello")
    with pytest.raises(InvalidAudio, match=r"a.flac: not readable as audio"):
        read_set(tmp_path, voices(), RATE)


def test_sets_are_drawn_as_often_as_their_weights_say() -> None:
    a, b = (Clip(np.zeros(4, np.int16), (), name) for name in "ab")
    pool = Pool(((a,), (b, b, b)), (3.0, 1.0))
    rng = np.random.default_rng(0)
    drawn = [pool.draw(rng).name for _ in range(2000)]
    assert drawn.count("a") / 2000 == pytest.approx(0.75, abs=0.04)
    assert pool
    assert not Pool((), ())


def test_a_pool_holds_its_sets(world: Path) -> None:
    pool = read_pool(world, [voices(weight=2.0), voices(folder="hiss", kind="noise")], RATE)
    assert [len(clips) for clips in pool.sets] == [6, 2]
    assert pool.weights == (2.0, 1.0)
