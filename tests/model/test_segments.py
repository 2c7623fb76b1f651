"""Labels of recordings: reading, checking, and what they say about frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from surnn.errors import InvalidInput
from surnn.segments import Segment, check_segments, frame_labels, read_segments

HEAD = "file,start_s,end_s,label\n"


def table(folder: Path, text: str) -> Path:
    path = folder / "segments.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_rows_in_order_with_their_lines(tmp_path: Path) -> None:
    text = HEAD + "b.wav,1.5,2,speech\na.wav,0,0.25,speech\nb.wav,3,4,music\n"
    found = read_segments(table(tmp_path, text))
    assert list(found) == ["b.wav", "a.wav"]
    assert found["b.wav"] == [Segment(1.5, 2.0, "speech", 2), Segment(3.0, 4.0, "music", 4)]


def test_further_columns_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "segments.csv"
    path.write_bytes(b"\xef\xbb\xbffile,start_s,end_s,label,speaker\n\na.wav,0,1,speech,MEO069\n")
    assert read_segments(path)["a.wav"] == [Segment(0.0, 1.0, "speech", 3)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.wav,zero,1,speech", "segments.csv:3: start_s is 'zero', expected seconds from 0"),
        ("a.wav,nan,1,speech", "start_s is 'nan'"),
        ("a.wav,0,inf,speech", "end_s is 'inf'"),
        ("a.wav,-1,1,speech", "start_s is '-1'"),
        ("a.wav,1,1,speech", "segments.csv:3: end_s is 1, expected more than 1"),
        ("a.wav,2,1,speech", "end_s is 1, expected more than 2"),
        ("a.wav,0,1,", "segments.csv:3: label is empty"),
        ("a.wav,0,1", "segments.csv:3: row is too short"),
    ],
)
def test_a_broken_row_is_refused_with_file_and_line(tmp_path: Path, row: str, message: str) -> None:
    path = table(tmp_path, f"{HEAD}a.wav,0,1,speech\n{row}\n")
    with pytest.raises(InvalidInput) as caught:
        read_segments(path)
    assert message in str(caught.value)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="expected end_s,label too"):
        read_segments(table(tmp_path, "file,start_s\n"))
    with pytest.raises(InvalidInput, match="columns are missing"):
        read_segments(table(tmp_path, ""))


def test_no_table_and_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file"):
        read_segments(tmp_path / "segments.csv")
    (tmp_path / "segments.csv").write_bytes(b"\xff\xfe\x00audio")
    with pytest.raises(InvalidInput, match="byte 0 is not UTF-8"):
        read_segments(tmp_path / "segments.csv")


def test_segments_must_lie_in_files_that_exist(tmp_path: Path) -> None:
    path = tmp_path / "segments.csv"
    rows = {"a.wav": [Segment(0.0, 2.04, "speech", 2)]}
    check_segments(path, rows, {"a.wav": 2.0, "unnamed.wav": 1.0})
    with pytest.raises(InvalidInput, match=r"segments.csv:2: end_s is 2.04, but a.wav ends at 1.9"):
        check_segments(path, rows, {"a.wav": 1.9})
    with pytest.raises(InvalidInput, match=r"segments.csv:2: no audio file 'a.wav'"):
        check_segments(path, rows, {"b.wav": 2.0})


def test_a_frame_is_labelled_when_half_of_it_is_covered() -> None:
    labels = frame_labels([Segment(0.015, 0.034, "speech")], "speech", 6, 100.0)
    #                10..20 ms: 5 of 10 covered; 30..40 ms: 4 of 10 covered
    assert labels.tolist() == [False, True, True, False, False, False]


def test_overlapping_and_unsorted_segments_count_once() -> None:
    rows = [
        Segment(0.05, 0.10, "speech"),
        Segment(0.00, 0.03, "speech"),
        Segment(0.02, 0.05, "speech"),
        Segment(0.06, 0.07, "speech"),
        Segment(0.10, 0.20, "music"),
    ]
    assert frame_labels(rows, "speech", 20, 100.0).tolist() == [True] * 10 + [False] * 10
    assert frame_labels(rows, "music", 20, 100.0).tolist() == [False] * 10 + [True] * 10
    assert not frame_labels(rows, "bark", 20, 100.0).any()


def test_two_halves_of_a_frame_add_up() -> None:
    rows = [Segment(0.000, 0.003, "speech"), Segment(0.006, 0.0081, "speech")]
    assert frame_labels(rows, "speech", 1, 100.0).tolist() == [True]


def test_labels_agree_with_counting_samples() -> None:
    rng = np.random.default_rng(3)
    starts = np.sort(rng.uniform(0, 30, 40))
    rows = [Segment(float(s), float(s + rng.uniform(0.005, 0.9)), "speech") for s in starts]
    mask = np.zeros(32 * 16_000)
    for s in rows:
        mask[round(s.start * 16_000) : round(s.end * 16_000)] = 1
    counted = mask.reshape(-1, 160).mean(axis=1)
    labels = frame_labels(rows, "speech", 3200, 100.0)
    clear = np.abs(counted - 0.5) > 0.02
    assert np.array_equal(labels[clear], counted[clear] > 0.5)
    assert np.array_equal(frame_labels(rows, "speech", 1200, 100.0, offset=5.0), labels[500:1700])
