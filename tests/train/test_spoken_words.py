"""Words of a speech synthesiser become a data set."""

from __future__ import annotations

import csv
import stat
from pathlib import Path

import numpy as np
import pytest
import soundfile

from surnn.errors import InvalidInput
from surnn.train.config_data import DataSet
from surnn.train.recordings import read_set
from surnn.train.spoken_words import OTHERS, VOICES, WORDS, sayings, write


@pytest.fixture
def flite(tmp_path: Path) -> Path:
    """Speaks like the real one, but hums, and writes down what it was asked for."""
    soundfile.write(tmp_path / "hum.wav", 0.5 * np.sin(np.arange(8_000) / 5.0), 8_000)
    path = tmp_path / "flite"
    path.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> {tmp_path}/asked\n'
        'while [ "$1" != "-o" ]; do shift; done\n'
        f'cp {tmp_path}/hum.wav "$2"\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_every_voice_says_every_word_in_many_ways_always_the_same() -> None:
    found = sayings()
    assert found == sayings()
    assert len(set(found)) == len([s for s in found if s.word in WORDS]) + len(
        {s for s in found if s.word not in WORDS}
    )
    for word in WORDS:
        for voice in VOICES:
            assert sum((s.word, s.voice) == (word, voice) for s in found) == 6
    assert {s.word for s in found} == {*WORDS, *OTHERS}
    with pytest.raises(InvalidInput, match="each is 19, expected at most 18"):
        sayings(each=19)


def test_no_other_word_is_on_the_list_or_sounds_as_one() -> None:
    assert not set(OTHERS) & {*WORDS, "know", "write", "right", "won", "won't", "to", "too"}
    assert not set(OTHERS) & {"for", "fore", "ate", "sicks", "knows"}
    assert len(set(OTHERS)) == len(OTHERS)


def test_words_are_written_one_file_a_voice(flite: Path, tmp_path: Path) -> None:
    found = [s for s in sayings(each=1, others=1) if s.word in ("yes", "nine", "write-up")]
    count = write(found, tmp_path / "kws_flite", str(flite))
    assert count == len(found) == 9
    with (tmp_path / "kws_flite" / "clips.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {r["speaker"] for r in rows} == set(VOICES)
    item = DataSet(
        folder="kws_flite", kind="words", role="train", licence="x", word="word", find_speech=True
    )
    clips = read_set(tmp_path, item, 16_000)
    assert sorted(c.word for c in clips) == sorted(s.word for s in found)
    for clip in clips:
        assert len(clip.samples) == 16_000 + 2 * 4_800
        assert clip.segments[0].start == pytest.approx(0.3, abs=0.05)
    asked = (tmp_path / "asked").read_text()
    assert "-t write up" in asked
    assert "-voice slt" in asked


def test_where_there_is_no_synthesiser_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no program 'flight', expected CMU Flite"):
        write(sayings(), tmp_path, "flight")
