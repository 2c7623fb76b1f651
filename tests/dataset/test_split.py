"""Recordings of one group never stand on two sides."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from surnn.dataset import Labelled, Part, SplitRule, split
from surnn.dataset.record import DataRecord, FilePart, read_record, write_record
from surnn.errors import CorruptModel, InvalidInput
from surnn.segments import Segment

FOLDER = Path("data")


def recording(name: str, *labels: str, who: str = "", seconds: float = 10.0) -> Labelled:
    segments = tuple(Segment(i, i + 1.0, label, i + 2) for i, label in enumerate(labels))
    fields = {"who": who} if who else {}
    return Labelled(name, FOLDER / name, seconds, 16_000, segments, FOLDER / "segments.csv", fields)


def people(count: int = 8, clips: int = 3) -> list[Labelled]:
    return [
        recording(f"{p}_{c}.wav", "dog", "cat", who=f"p{p}")
        for p in range(count)
        for c in range(clips)
    ]


def test_groups_stay_whole_and_shares_are_met() -> None:
    found = split(FOLDER, people(10), SplitRule(by="who"), seed=1)
    for person in range(10):
        assert len({found.parts[f"{person}_{c}.wav"] for c in range(3)}) == 1
    assert [len(found.of(p)) for p in Part] == [18, 6, 6]


def test_the_seed_decides_and_repeats() -> None:
    divisions = [split(FOLDER, people(), SplitRule(by="who"), seed=s).parts for s in (1, 1, 2)]
    assert divisions[0] == divisions[1]
    assert divisions[0] != divisions[2]


def test_rare_labels_are_in_every_part() -> None:
    rows = [r for r in people(12) if r.name[0] != "x"]
    rows += [recording(f"rare{i}.wav", "owl", who=f"p{i}") for i in (0, 5, 9)]
    found = split(FOLDER, rows, SplitRule(by="who"), seed=3)
    assert {found.parts[f"rare{i}.wav"] for i in (0, 5, 9)} == set(Part)


def test_groups_come_from_patterns_folders_files_and_tables(tmp_path: Path) -> None:
    by_pattern = split(FOLDER, people(), SplitRule(pattern=r"^(\d+)_"), seed=1)
    assert by_pattern.groups["3_1.wav"] == "3"
    nested = [recording(f"s{i}/{c}.wav", "dog") for i in range(5) for c in range(2)]
    assert split(FOLDER, nested, SplitRule(by="folder"), 1).groups["s2/1.wav"] == "s2"
    assert split(FOLDER, nested, SplitRule(by="file"), 1).groups["s2/1.wav"] == "s2/1.wav"
    lines = "".join(f"s{i}/{c}.wav,g{i}\n" for i in range(5) for c in range(2))
    (tmp_path / "groups.csv").write_text("file,group\n" + lines)
    assert split(tmp_path, nested, SplitRule(), 1).groups["s2/1.wav"] == "g2"
    (tmp_path / "groups.csv").write_text("file,group\ns0/0.wav,g0\n")
    with pytest.raises(InvalidInput, match=r"groups\.csv: no group for 's0/1\.wav'"):
        split(tmp_path, nested, SplitRule(), 1)


def test_parts_may_be_named() -> None:
    rule = SplitRule(by="who", valid=("p1", "p2"), test=("p7",))
    found = split(FOLDER, people(), rule, 1)
    assert {found.groups[n] for n in found.of(Part.VALID)} == {"p1", "p2"}
    assert {found.groups[n] for n in found.of(Part.TEST)} == {"p7"}
    with pytest.raises(InvalidInput, match=r"split\.valid names \['p99'\], but groups are"):
        split(FOLDER, people(), SplitRule(by="who", valid=("p99",)), 1)


def test_too_few_groups_are_refused_unless_that_is_wanted() -> None:
    one = people(1)
    with pytest.raises(InvalidInput, match=r"1 group \(p0\), expected at least 3") as caught:
        split(FOLDER, one, SplitRule(by="who"), 1)
    assert "split.ignore_groups = true" in str(caught.value)
    found = split(FOLDER, one, SplitRule(by="who", ignore_groups=True), 1)
    assert len(found.of(Part.TEST)) == 1
    assert "flatter" in found.rule
    assert not split(FOLDER, people(2), SplitRule(by="who", test=0), 1).of(Part.TEST)


def test_clips_in_folders_are_not_split_by_clip() -> None:
    clips = [
        Labelled(f"dog/{i}.wav", FOLDER, 1.0, 16_000, (Segment(0, 1, "dog"),), FOLDER, {})
        for i in range(9)
    ]
    with pytest.raises(InvalidInput, match="is a clip in a folder of its label"):
        split(FOLDER, clips, SplitRule(by="file"), 1)
    with pytest.raises(InvalidInput, match=r"nothing says who or what 'dog/0\.wav' belongs to"):
        split(FOLDER, clips, SplitRule(), 1)
    assert split(FOLDER, clips, SplitRule(by="file", ignore_groups=True), 1).of(Part.TEST)


def test_a_label_of_one_group_is_refused() -> None:
    rows = [*people(), recording("owl.wav", "owl", who="p1")]
    with pytest.raises(InvalidInput, match=r"label 'owl' is in 1 of 8 groups \(p1\)"):
        split(FOLDER, rows, SplitRule(by="who"), 1)


def test_recordings_without_a_group_are_named() -> None:
    rows = [*people(), recording("x.wav", "dog")]
    with pytest.raises(InvalidInput, match=r"segments\.csv: no single 'who' for 'x\.wav'"):
        split(FOLDER, rows, SplitRule(by="who"), 1)
    with pytest.raises(InvalidInput, match=r"finds no group in 'x\.wav'"):
        split(FOLDER, rows, SplitRule(pattern=r"^(\d)"), 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pattern": "("}, "not a regular expression"),
        ({"pattern": "a"}, "has no"),
        ({"valid": 0.6, "test": 0.4}, "leave nothing over"),
        ({"valid": ["a"], "test": ["a"]}, "named for valid and for test"),
    ],
)
def test_rules_that_cannot_be_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SplitRule.model_validate(values)


def test_a_record_is_written_and_read_again(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    rows = people()
    found = split(FOLDER, rows, SplitRule(by="who"), 1)
    record = DataRecord(
        rule=found.rule, files=tuple(FilePart.model_validate(r) for r in found.rows(rows))
    )
    write_record(record, tmp_path)
    assert read_record(tmp_path) == record
    assert record.names(Part.TEST) == found.of(Part.TEST)
    (tmp_path / "data.json").write_text("{")
    with pytest.raises(CorruptModel, match=r"data\.json cannot be read"):
        read_record(tmp_path)
