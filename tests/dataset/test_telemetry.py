"""Telemetry as SKAB and NAB have it: labels by row or by windows, faults named."""

from __future__ import annotations

from pathlib import Path

import pytest

from surnn.dataset.telemetry import read_telemetry
from surnn.errors import InvalidInput


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pump").mkdir()
    rows = [f"2020-01-01 00:00:{i:02d};{i};{10 - i};{int(i > 5)};{int(i == 6)}" for i in range(10)]
    table = "datetime;a;b;anomaly;changepoint\n" + "\n".join(rows) + "\n"
    (tmp_path / "pump" / "one.csv").write_text(table)
    rows = [f"2020-01-01 00:{i:02d}:00,{i}.5" for i in range(10)]
    (tmp_path / "load.csv").write_text("timestamp,value\n" + "\n".join(rows) + "\n")
    (tmp_path / "anomaly_windows.csv").write_text(
        "file,window_start,window_end\n"
        "load.csv,2020-01-01 00:03:00,2020-01-01 00:05:00\n"
        "load.csv,2021-01-01 00:00:00,2021-01-01 01:00:00\n"
    )
    return tmp_path


def test_rows_have_labels(folder: Path) -> None:
    (series,) = read_telemetry(folder, ("pump/*",))
    assert series.name == "pump/one.csv"
    assert series.values.shape == (10, 2)
    assert series.values[3].tolist() == [3.0, 7.0]
    assert series.anomaly.tolist() == [False] * 6 + [True] * 4
    assert series.changes.nonzero()[0].tolist() == [6]
    assert series.windows == ()


def test_windows_become_rows(folder: Path) -> None:
    (series,) = read_telemetry(folder, ("load.csv",))
    assert series.windows == ((3, 5),)  # the other one lies behind the series
    assert series.anomaly.nonzero()[0].tolist() == [3, 4, 5]
    assert not series.changes.any()
    assert series.values[:, 0].tolist() == [i + 0.5 for i in range(10)]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("anomaly_windows.csv", "2020-01-01 00:03:00", "noon", r"anomaly_windows.csv:2: 'noon'"),
        ("load.csv", "2020-01-01 00:04:00", "noon", r"load.csv:6: 'noon', expected a date"),
        ("load.csv", "4.5", "many", r"load.csv:6: .*'many'"),
    ],
)
def test_faults_are_named(folder: Path, name: str, old: str, new: str, message: str) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    with pytest.raises(InvalidInput, match=message):
        read_telemetry(folder, ("load.csv",))


def test_a_pattern_without_tables_is_named(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no table matches \['valve/\*'\]"):
        read_telemetry(folder, ("valve/*",))
