"""Files of the IDX format, in which MNIST comes (plain or gzip'ed)."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from surnn.errors import InvalidInput

__all__ = ["read_idx"]

_UINT8 = 8


def read_idx(folder: Path, name: str, dimensions: int) -> NDArray[np.uint8]:
    """The array in `name` or `name.gz`. Raises `InvalidInput`."""
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise InvalidInput(
            f"{folder.name} holds no {name} or {name}.gz, expected MNIST's IDX files"
        )
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{path.name} cannot be unpacked: {error}") from None
    if data[:4] != bytes([0, 0, _UINT8, dimensions]):
        raise InvalidInput(
            f"{path.name} begins with {data[:4].hex() or 'nothing'}, expected "
            f"0000{_UINT8:02x}{dimensions:02x}: an IDX file of bytes in {dimensions} dimensions"
        )
    header = 4 + 4 * dimensions
    if len(data) < header:
        raise InvalidInput(
            f"{path.name} ends in its header after {len(data)} bytes, expected {header}"
        )
    shape = tuple(int(n) for n in np.frombuffer(data[4:header], ">u4"))
    expected = math.prod(shape)
    if len(data) - header != expected:
        raise InvalidInput(
            f"{path.name} holds {len(data) - header} bytes behind its header, expected {expected}"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
