"""IDX files: what is in them, and what is said of broken ones."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from surnn.errors import InvalidInput
from surnn.tasks.idx import read_idx

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


Idx = Callable[[NDArray[np.uint8]], bytes]


@pytest.mark.parametrize("packed", [False, True])
def test_arrays_come_back(tmp_path: Path, idx: Idx, packed: bool) -> None:
    name = "a.gz" if packed else "a"
    (tmp_path / name).write_bytes(gzip.compress(idx(ARRAY)) if packed else idx(ARRAY))
    found = read_idx(tmp_path, "a", 3)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, ARRAY)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda good: good[:-1], "a holds 23 bytes behind its header, expected 24"),
        (lambda good: good + b"x", "a holds 25 bytes behind its header, expected 24"),
        (lambda good: good[:9], "a ends in its header after 9 bytes, expected 16"),
        (lambda good: b"", "a begins with nothing, expected 00000803"),
        (lambda good: b"\0\0\x08\x01" + good[4:], "begins with 00000801, .* in 3 dimensions"),
        (lambda good: b"\0\0\x0d\x03" + good[4:], "begins with 00000d03, .* file of bytes"),
        (lambda good: good[:4] + b"\xff" * 12, "a holds 0 bytes behind its header, expected"),
    ],
)
def test_broken_files_are_named(
    tmp_path: Path, idx: Idx, damage: Callable[[bytes], bytes], complaint: str
) -> None:
    (tmp_path / "a").write_bytes(damage(idx(ARRAY)))
    with pytest.raises(InvalidInput, match=complaint):
        read_idx(tmp_path, "a", 3)


@pytest.mark.parametrize("contents", [b"no gzip", gzip.compress(bytes(99))[:-12]])
def test_broken_packing_is_named(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "a.gz").write_bytes(contents)
    with pytest.raises(InvalidInput, match=r"a\.gz cannot be unpacked"):
        read_idx(tmp_path, "a", 3)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"holds no a or a\.gz, expected MNIST's IDX files"):
        read_idx(tmp_path, "a", 3)
