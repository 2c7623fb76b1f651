"""Folders of audio in each layout, and everything that can be wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from surnn.dataset import Labelling, Layout, read_audio
from surnn.errors import InvalidInput
from surnn.segments import Segment

Audio = Callable[..., Path]
HEAD = "file,start,end,label,who\n"


def test_a_table_gives_segments_and_further_columns(tmp_path: Path, audio: Audio) -> None:
    for name in ("a.wav", "b/c.flac", "quiet.wav"):
        audio(name)
    rows = "a.wav,0,1,dog,ann\nb/c.flac,0.5,2,cat,bob\na.wav,1,2,cat,ann\nquiet.wav,,,,cem\n"
    (tmp_path / "segments.csv").write_text(HEAD + rows)
    first, second, third = read_audio(tmp_path, exclusive=True)
    assert first.name == "a.wav"
    assert first.segments == (Segment(0.0, 1.0, "dog", 2), Segment(1.0, 2.0, "cat", 4))
    assert (first.seconds, first.sample_rate) == (2.0, 16_000)
    assert (second.name, second.fields) == ("b/c.flac", {"who": "bob"})
    assert (third.segments, third.fields) == ((), {"who": "cem"})


def test_a_folder_for_each_label(tmp_path: Path, audio: Audio) -> None:
    audio("dog/1.wav", 1.0)
    audio("cat/deep/2.wav", 0.5)
    found = read_audio(tmp_path, labels=("cat", "dog"))
    assert [(r.name, r.segments) for r in found] == [
        ("cat/deep/2.wav", (Segment(0.0, 0.5, "cat"),)),
        ("dog/1.wav", (Segment(0.0, 1.0, "dog"),)),
    ]


def test_turns_of_speakers_may_count_as_one_label(tmp_path: Path, audio: Audio) -> None:
    audio("call.wav", 5.0)
    turn = "SPEAKER call 1 {} {} <NA> <NA> {} <NA> <NA>\n"
    lines = turn.format(0, 2, "ann") + turn.format(1, 2, "bob") + turn.format(4, 1, "ann")
    (tmp_path / "all.rttm").write_text(lines)
    (one,) = read_audio(tmp_path, Labelling(call="speech"), labels=("speech",), exclusive=True)
    assert [(s.start, s.end, s.label) for s in one.segments] == [
        (0.0, 3.0, "speech"),
        (4.0, 5.0, "speech"),
    ]


def test_label_tracks_beside_recordings(tmp_path: Path, audio: Audio) -> None:
    audio("a.wav")
    audio("b.wav")
    (tmp_path / "a.txt").write_text("0\t1\tdog\n")
    with pytest.raises(InvalidInput, match=r"b\.wav: no label track b\.txt beside it"):
        read_audio(tmp_path)
    (tmp_path / "b.txt").write_text("")
    first, second = read_audio(tmp_path)
    assert (first.segments, second.segments) == ((Segment(0.0, 1.0, "dog", 1),), ())
    assert first.source == tmp_path / "a.txt"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.wav,0,1,dgo,x", "segments.csv:2: label is 'dgo', expected one of ['cat', 'dog']"),
        ("b.wav,0,1,dog,x", "segments.csv:2: no audio file 'b.wav' in"),
        ("a.wav,0,9,dog,x", "segments.csv:2: end_s is 9, but a.wav ends at 2.000 s"),
        ("a.wav,1,0,dog,x", "segments.csv:2: end_s is 0, expected more than 1"),
        (
            "a.wav,0,1,dog,x\na.wav,0.9,2,dog,x",
            "segments.csv:3: 'dog' from 0.9 s overlaps 'dog' of line 2, which ends at 1 s",
        ),
        (
            "a.wav,0.9,2,cat,x\na.wav,0,1,dog,x",
            "segments.csv:2: 'cat' from 0.9 s overlaps 'dog' of line 3, which ends at 1 s, "
            "expected segments apart (or head = 'sigmoid' for several labels)",
        ),
    ],
)
def test_a_broken_table_is_refused_with_file_and_line(
    tmp_path: Path, audio: Audio, rows: str, message: str
) -> None:
    audio("a.wav")
    (tmp_path / "segments.csv").write_text(HEAD + rows + "\n")
    with pytest.raises(InvalidInput) as caught:
        read_audio(tmp_path, labels=("cat", "dog"), exclusive=True)
    assert message in str(caught.value)


def test_labels_that_do_not_exclude_each_other_may_overlap(tmp_path: Path, audio: Audio) -> None:
    audio("a.wav")
    (tmp_path / "segments.csv").write_text(HEAD + "a.wav,0,1,dog,x\na.wav,0.5,2,cat,x\n")
    assert len(read_audio(tmp_path, exclusive=False)[0].segments) == 2


def test_recordings_of_a_lower_rate_are_refused_unless_wanted(tmp_path: Path, audio: Audio) -> None:
    audio("dog/low.wav", rate=8_000)
    with pytest.raises(InvalidInput, match=r"low\.wav: 8000 samples per second, expected at least"):
        read_audio(tmp_path, sample_rate=16_000)
    assert len(read_audio(tmp_path, Labelling(upsample=True), sample_rate=16_000)) == 1


def test_other_faults_of_folders(tmp_path: Path, audio: Audio) -> None:
    with pytest.raises(InvalidInput, match="holds no audio"):
        read_audio(tmp_path)
    audio("a.wav")
    with pytest.raises(InvalidInput, match="holds audio and no labels"):
        read_audio(tmp_path)
    with pytest.raises(InvalidInput, match=r"a\.wav: lies in no folder"):
        read_audio(tmp_path, Labelling(layout=Layout.FOLDERS))
    with pytest.raises(InvalidInput, match="layout 'column' is for sensor tables"):
        read_audio(tmp_path, Labelling(layout=Layout.COLUMN))
    (tmp_path / "x.rttm").write_text("SPEAKER b 1 0 1 <NA> <NA> ann <NA> <NA>\n")
    with pytest.raises(InvalidInput, match=r"x\.rttm:1: no audio file 'b'"):
        read_audio(tmp_path)
    (tmp_path / "x.rttm").write_text("")
    with pytest.raises(InvalidInput, match=r"no segments in \.rttm files"):
        read_audio(tmp_path)
    audio("sub/a.flac")
    with pytest.raises(InvalidInput, match="has the same name without ending"):
        read_audio(tmp_path)


def test_a_folder_that_is_no_label_is_refused(tmp_path: Path, audio: Audio) -> None:
    audio("dgo/1.wav")
    with pytest.raises(InvalidInput, match=r"1\.wav: lies in folder 'dgo', expected one of"):
        read_audio(tmp_path, labels=("dog",))
