"""Segments from RTTM files and Audacity label tracks."""

from __future__ import annotations

from pathlib import Path

import pytest

from surnn.dataset.marks import read_audacity, read_rttm
from surnn.errors import InvalidInput
from surnn.segments import Segment

TURN = "SPEAKER {} 1 {} {} <NA> <NA> {} <NA> <NA>\n"


def test_rttm_turns_come_by_recording(tmp_path: Path) -> None:
    path = tmp_path / "a.rttm"
    path.write_text(
        ";; made by hand\nSPKR-INFO one 1 <NA> <NA> <NA> unknown ann <NA> <NA>\n"
        + TURN.format("one", 0.5, 1.25, "ann")
        + TURN.format("two", 0, 2, "bob")
        + TURN.format("one", 2, 0.5, "bob")
    )
    assert read_rttm(path) == {
        "one": [Segment(0.5, 1.75, "ann", 3), Segment(2.0, 2.5, "bob", 5)],
        "two": [Segment(0.0, 2.0, "bob", 4)],
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("SPEAKER one 1 0.5 1.0", "a.rttm:2: 5 fields, expected at least 8"),
        (TURN.format("one", "x", 1, "ann"), "a.rttm:2: start is 'x', expected seconds from 0"),
        (TURN.format("one", -1, 1, "ann"), "a.rttm:2: start is '-1'"),
        (TURN.format("one", 1, 0, "ann"), "a.rttm:2: duration is 0, expected more than 0"),
    ],
)
def test_a_broken_turn_is_refused_with_file_and_line(
    tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "a.rttm"
    path.write_text(TURN.format("one", 0, 1, "ann") + line)
    with pytest.raises(InvalidInput) as caught:
        read_rttm(path)
    assert message in str(caught.value)


def test_audacity_tracks_are_read_with_their_frequencies_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("0.5\t1.25\tdog\n\\\t100.0\t900.0\n2\t3\tbig cat\n")
    assert read_audacity(path) == [Segment(0.5, 1.25, "dog", 1), Segment(2.0, 3.0, "big cat", 3)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1.0\t2.0", "a.txt:1: 2 fields, expected start, end and label between tabs"),
        ("1.0 2.0 dog", "a.txt:1: 1 fields"),
        ("2\t2\tdog", "a.txt:1: ends at 2, expected more than its start 2"),
        ("one\t2\tdog", "a.txt:1: start is 'one'"),
        ("1\t2\t ", "a.txt:1: 3 fields"),
    ],
)
def test_a_broken_track_is_refused_with_file_and_line(
    tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text(line)
    with pytest.raises(InvalidInput) as caught:
        read_audacity(path)
    assert message in str(caught.value)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="byte 0 is not UTF-8"):
        read_audacity(tmp_path / "a.txt")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_rttm(tmp_path / "b.rttm")
