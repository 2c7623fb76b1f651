"""Records: written, read back, and refused when damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from surnn.errors import InvalidConfig
from surnn.tasks.records import Recall, Record, read_records, write_record

Make = Callable[..., Record]


def test_records_come_back(
    tmp_path: Path, record: Make, curve: Callable[..., tuple[Recall, ...]]
) -> None:
    first, second = record(recall=curve(1.0, 0.5)), record(seed=2, notes=("a", "b"))
    write_record(tmp_path / "deep" / "down" / "a.json", first)
    write_record(tmp_path / "deep" / "down" / "b.json", second)
    assert read_records(tmp_path / "deep" / "down") == [first, second]


def test_other_json_is_passed_over(tmp_path: Path, record: Make) -> None:
    (tmp_path / "bench.json").write_text('{"kind": "benchmark"}')
    write_record(tmp_path / "run.json", record())
    assert len(read_records(tmp_path)) == 1


@pytest.mark.parametrize("contents", ["", "{", "[]", '{"kind": "task-run"}', "\xff"])
def test_damaged_files_are_named(tmp_path: Path, contents: str) -> None:
    (tmp_path / "run.json").write_text(contents, encoding="latin-1")
    with pytest.raises(InvalidConfig, match=r"run\.json: not a record of a task"):
        read_records(tmp_path)


def test_unknown_fields_are_refused(tmp_path: Path, record: Make) -> None:
    fields = json.loads(record().model_dump_json()) | {"speed": 1}
    (tmp_path / "run.json").write_text(json.dumps(fields))
    with pytest.raises(InvalidConfig, match="speed"):
        read_records(tmp_path)
