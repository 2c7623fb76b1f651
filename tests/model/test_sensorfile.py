from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from surnn.errors import InvalidAudio
from surnn.sensorfile import SensorFile
from surnn.types import Float32

VALUES = np.random.default_rng(2).standard_normal((450, 3)).astype(np.float32)


def whole(source: Any, seconds: float = 10.0) -> Float32:
    with SensorFile(source) as file:
        return np.concatenate(list(file.blocks(seconds)))


def table(tmp_path: Path, text: str | bytes, name: str = "a.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def array(tmp_path: Path, values: Any) -> Path:
    path = tmp_path / "a.npy"
    np.save(path, values)
    return path


@pytest.mark.parametrize("header", ["", "\ufeff", "ax,ay,az\n", "\ufeffax,ay,az\n", "\n x, , \n\n"])
def test_csv_with_and_without_header(tmp_path: Path, header: str) -> None:
    rows = "\n".join(",".join(map(repr, row)) for row in VALUES.tolist())
    path = table(tmp_path, header + rows + "\n")
    with SensorFile(path) as file:
        assert (file.name, file.channels, file.frames, file.sample_rate) == ("a.csv", 3, None, None)
        blocks = list(file.blocks(2.0))
        assert [len(block) for block in blocks] == [200, 200, 50]
        np.testing.assert_array_equal(np.concatenate(blocks), VALUES)
        np.testing.assert_array_equal(np.concatenate(list(file.blocks())), VALUES)


@pytest.mark.parametrize(
    "text", ["1.5;2\r\n-3;4e-1\r\n", "1,5;2\n-3;0,4", "1.5\t2\n-3\t0.4\n", "1.5, 2\n-3,0.4\n"]
)
def test_separators(tmp_path: Path, text: str) -> None:
    np.testing.assert_array_equal(
        whole(table(tmp_path, text)), np.array([[1.5, 2], [-3, 0.4]], np.float32)
    )


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ">f4"])
def test_npy(tmp_path: Path, kind: Any) -> None:
    values = VALUES.astype(kind)
    with SensorFile(array(tmp_path, values)) as file:
        assert (file.channels, file.frames) == (3, 450)
        blocks = list(file.blocks(2.0))
    assert [len(block) for block in blocks] == [200, 200, 50]
    np.testing.assert_array_equal(np.concatenate(blocks), values.astype(np.float32))


def test_one_axis_is_one_channel(tmp_path: Path) -> None:
    assert whole(array(tmp_path, VALUES[:, 0].copy())).shape == (450, 1)


def test_uploads_stay_open() -> None:
    data = io.BytesIO(b"1,2\n3,4\n")
    assert whole(("x/a.csv", data)).tolist() == [[1, 2], [3, 4]]
    assert not data.closed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.csv is empty (0 bytes), expected a recording"),
        ("\n\n", "a.csv holds no rows, expected numbers"),
        ("ax,ay\n", "a.csv holds a header and no rows, expected numbers"),
        ("1,2\n3\n", "a.csv:2: 1 columns, expected 2"),
        ("ax,ay\n1,2\n\n3,4,5\n", "a.csv:4: 3 columns, expected 2"),
        ("1,2\n3,x\n", "a.csv:2: column 2 is 'x', expected a finite number"),
        ("1,2\n3,\n", "a.csv:2: column 2 is '', expected a finite number"),
        ("1,2\nnan,4\n", "a.csv:2: column 1 is 'nan', expected a finite number"),
        ("1,2\n3,1e99\n", "a.csv:2: column 2 is '1e99', expected a finite number"),
        (b"1,2\n\xff\xfe,4\n", "a.csv:2: not UTF-8 text, expected a table"),
        ("1," * 40_000, "a.csv:1: line of 65536 bytes or more, expected a row"),
    ],
)
def test_tables_that_cannot_be(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(InvalidAudio) as caught:
        whole(table(tmp_path, text))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 2), int), r"a\.npy is int64 \[4, 2\], expected floats \[n, channels\]"),
        (np.zeros((4, 2, 1)), r"a\.npy is float64 \[4, 2, 1\], expected floats"),
        (np.zeros((4, 2), order="F"), r"float64 \[4, 2\] in Fortran order, expected"),
        (np.zeros((0, 2)), r"a\.npy is float64 \[0, 2\], expected at least one sample"),
        (np.array([None]), r"a\.npy is object \[1\], expected floats"),
    ],
)
def test_arrays_that_cannot_be(tmp_path: Path, values: Any, message: str) -> None:
    with pytest.raises(InvalidAudio, match=message):
        SensorFile(array(tmp_path, values))


def test_a_damaged_array(tmp_path: Path) -> None:
    path = array(tmp_path, VALUES)
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    with pytest.raises(InvalidAudio, match=r"a\.npy is cut off: 5300 bytes of samples, expected"):
        SensorFile(path)
    for wrong in (data[:50], b"1,2\n3,4\n", b"\x93NUMPY\x09\x00" + data[8:]):
        path.write_bytes(wrong)
        with pytest.raises(InvalidAudio, match=r"a\.npy has no readable header, expected a \.npy"):
            SensorFile(path)
