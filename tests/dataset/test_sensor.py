"""Sensor tables: reading, time stamps, labels, and everything that can be wrong with them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from surnn.dataset import Columns, Labelling, Layout, read_sensor
from surnn.dataset.tables import read_table
from surnn.errors import InvalidInput, MissingDependency

COLUMNS = Columns(channels=("x", "y"), time="t")


def rows(count: int = 20, label: str = "rest") -> list[str]:
    return [f"{i / 10:.1f},{i},{-i},{label},ann" for i in range(count)]


def write(
    folder: Path, lines: list[str], name: str = "a.csv", head: str = "t,x,y,label,who"
) -> Path:
    path = folder / name
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def test_rows_become_samples_and_runs_of_labels_become_segments(tmp_path: Path) -> None:
    write(tmp_path, [*rows(10), *(r.replace("rest", "walk") for r in rows(20)[10:])])
    (one,) = read_sensor(tmp_path, 10, COLUMNS, labels=("rest", "walk"), exclusive=True)
    assert one.samples.shape == (20, 2)
    np.testing.assert_allclose(one.samples[:, 0], np.arange(20), atol=1e-4)
    assert [(s.start, s.end, s.label, s.line) for s in one.labelled.segments] == [
        (0.0, 1.0, "rest", 2),
        (1.0, 2.0, "walk", 12),
    ]
    assert one.labelled.fields == {"who": "ann"}
    assert one.labelled.seconds == pytest.approx(2.0)


def test_uneven_rows_land_on_an_even_grid(tmp_path: Path) -> None:
    times = np.sort(np.random.default_rng(0).uniform(0, 10, 120))
    write(tmp_path, [f"{t:.4f},{3 * t:.4f},0,rest,ann" for t in times])
    (one,) = read_sensor(tmp_path, 10, COLUMNS)
    expected = 3 * (times[0] + np.arange(len(one.samples)) / 10)
    np.testing.assert_allclose(one.samples[:, 0], expected, atol=1e-2)


def test_dates_milliseconds_semicolons_and_gzip(tmp_path: Path) -> None:
    text = "when;x;y;label\n2024-05-31 14:00:00;1;2;rest\n2024-05-31 14:00:01.000;3;4;rest\n"
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    columns = Columns(channels=("y", "x"), time="when", time_unit="datetime")
    (one,) = read_sensor(tmp_path, 1, columns)
    assert one.samples.tolist() == [[2.0, 1.0], [4.0, 3.0]]
    (tmp_path / "a.csv.gz").unlink()
    write(tmp_path, ["0,1,2,rest,ann", "1000,3,4,rest,ann"])
    (one,) = read_sensor(tmp_path, 1, Columns(channels=("x",), time="t", time_unit="ms"))
    assert one.samples.tolist() == [[1.0], [3.0]]


def test_labels_may_stand_in_a_table_of_segments(tmp_path: Path) -> None:
    write(tmp_path, [f"{i / 10:.1f},{i},0" for i in range(20)], head="t,x,y")
    (tmp_path / "segments.csv").write_text("file,start,end,label,who\na.csv,0.5,1.5,fall,ann\n")
    (one,) = read_sensor(tmp_path, 10, COLUMNS)
    assert [(s.start, s.end, s.label) for s in one.labelled.segments] == [(0.5, 1.5, "fall")]
    assert one.labelled.fields == {"who": "ann"}
    (tmp_path / "segments.csv").write_text("file,start,end,label\nb.csv,0.5,1.5,fall\n")
    with pytest.raises(InvalidInput, match=r"segments\.csv:2: no sensor table 'b\.csv'"):
        read_sensor(tmp_path, 10, COLUMNS)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0.0,1,x,rest,ann"], "a.csv:2: y is 'x', expected a finite number"),
        (["0.0,1,nan,rest,ann"], "a.csv:2: y is 'nan', expected a finite number"),
        (["0.0,1,2,rest"], "a.csv:2: 4 columns, expected 5"),
        (["0.1,1,2,rest,ann", "0.0,1,2,rest,ann"], "a.csv:3: t is '0.0', before that of the row"),
        (["0.0,1,2,rest,ann"], "a.csv: 1 rows at one time, expected a series"),
        (["0.0,1,2,jump,ann", "0.1,1,2,rest,ann"], "a.csv:2: label is 'jump', expected one of"),
        (
            ["0,1,2,rest,ann", "1,1,2,rest,ann"],
            "a.csv: about 1 rows a second by 't' (in s), expected about 10 (model.sample_rate)",
        ),
        ([], "a.csv holds a header and no rows"),
    ],
)
def test_a_broken_table_is_refused_with_file_and_line(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    write(tmp_path, lines)
    with pytest.raises(InvalidInput) as caught:
        read_sensor(tmp_path, 10, COLUMNS, labels=("rest",))
    assert message in str(caught.value)


def test_missing_columns_channels_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="holds no tables"):
        read_sensor(tmp_path, 10)
    write(tmp_path, rows())
    with pytest.raises(InvalidInput, match=r"a\.csv:1: columns are t,x,y,label,who, expected z"):
        read_sensor(tmp_path, 10, Columns(channels=("z",), time="t"))
    with pytest.raises(InvalidInput, match="layout 'rttm' is for audio"):
        read_sensor(tmp_path, 10, COLUMNS, Labelling(layout=Layout.RTTM))
    write(tmp_path, ["0,1,rest", "0.1,1,rest"], "b.csv", "t,x,label")
    with pytest.raises(InvalidInput, match=r"b\.csv: 1 channels \(x\), expected 2 as in a\.csv"):
        read_sensor(tmp_path, 10, Columns(time="t"))


def test_broken_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(InvalidInput, match=r"a\.csv\.gz: not readable as a table"):
        read_table(tmp_path / "a.csv.gz")
    (tmp_path / "b.csv").write_text("x,x\n1,2\n")
    with pytest.raises(InvalidInput, match=r"b\.csv:1: columns are x,x, expected different names"):
        read_table(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text("")
    with pytest.raises(InvalidInput, match=r"c\.csv is empty"):
        read_table(tmp_path / "c.csv")


def test_parquet_reads_like_csv(tmp_path: Path) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError:
        (tmp_path / "a.parquet").write_bytes(b"PAR1")
        with pytest.raises(MissingDependency, match=r"surnn\[parquet\]"):
            read_table(tmp_path / "a.parquet")
        return
    table = pa.table({"t": [0.0, 0.1], "x": [1, 2], "y": [3.0, 4.0], "label": ["rest", None]})
    parquet.write_table(table, tmp_path / "a.parquet")
    (one,) = read_sensor(tmp_path, 10, COLUMNS)
    assert one.samples.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert [(s.start, s.end, s.label) for s in one.labelled.segments] == [(0.0, 0.1, "rest")]
    bad = pa.table({"t": [0.0, 0.1], "x": [1, None], "y": [3.0, 4.0], "label": ["rest", "rest"]})
    parquet.write_table(bad, tmp_path / "a.parquet")
    with pytest.raises(InvalidInput, match=r"a\.parquet:2: x is None"):
        read_sensor(tmp_path, 10, COLUMNS)
