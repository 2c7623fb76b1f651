"""A session as bytes: everything that one stream remembers, a few KB.

    MAGIC  version  header length  header (JSON)  arrays, one after the other

The header holds counters and, for each array, its name, type and shape. Bytes that came from
outside are checked field by field; whoever stores them must sign them, since a well-formed
snapshot can still be a lie.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from surnn.encodings import Encoding
from surnn.errors import InvalidSnapshot

__all__ = ["Snapshot", "SpanState", "StreamState", "pack", "unpack"]

_MAGIC = b"surnn"
_VERSION = 1
_PREFIX = struct.Struct("<5sBI")
_MAX_BYTES = 1 << 20
_TYPES = {"float32": 4, "int64": 8}
_NAMES = {np.dtype(name): name for name in _TYPES}
_MAX_COUNT = 2**62
"""Far from the end of 64 bits: a session that was read can still be counted on, and saved."""

Arrays = Mapping[str, NDArray[np.generic]]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SpanState(_Strict):
    """Where one event rule stands (see `surnn.events`)."""

    active: bool
    run: Count
    peak: float
    mean: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    """Of a rule that smooths: its sliding mean."""


class StreamState(_Strict):
    """The counters and options of a session."""

    model: str
    """Which weights the states belong to: `Runtime.fingerprint`."""
    sample_rate: int
    encoding: Encoding
    channels: int
    thresholds: dict[str, dict[str, float]]
    position: Count
    """Samples of the stream taken in, at its own rate: what comes next is sample `position`."""
    frames: Count
    events: Count
    updates: tuple[Count, ...]
    spans: tuple[SpanState, ...]
    resampler_phase: Count
    missing: Count = 0
    """Frames of lost samples that were passed over."""


class _Array(_Strict):
    name: str
    dtype: str
    shape: tuple[Annotated[int, Field(ge=0, le=_MAX_BYTES)], ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * _TYPES[self.dtype]


class _Header(_Strict):
    state: StreamState
    arrays: tuple[_Array, ...]


class Snapshot:
    """A session between two chunks."""

    def __init__(self, state: StreamState, arrays: Arrays) -> None:
        self.state = state
        self.arrays = dict(arrays)


def pack(snapshot: Snapshot) -> bytes:
    """The snapshot as bytes."""
    # A `_Header`, not made as one: a server with a thousand streams does this often.
    arrays = [
        {"name": name, "dtype": _NAMES.get(a.dtype) or str(a.dtype), "shape": a.shape}
        for name, a in snapshot.arrays.items()
    ]
    header = orjson.dumps({"state": snapshot.state.model_dump(), "arrays": arrays})
    body = b"".join([a.tobytes() for a in snapshot.arrays.values()])
    return _PREFIX.pack(_MAGIC, _VERSION, len(header)) + header + body


def unpack(data: bytes) -> Snapshot:
    """The snapshot that `pack` wrote. Raises `InvalidSnapshot`."""
    if not _PREFIX.size <= len(data) <= _MAX_BYTES:
        raise InvalidSnapshot(
            f"snapshot has {len(data)} bytes, expected {_PREFIX.size} to {_MAX_BYTES}"
        )
    magic, version, size = _PREFIX.unpack_from(data)
    if magic != _MAGIC:
        raise InvalidSnapshot(f"snapshot starts with {magic!r}, expected {_MAGIC!r}")
    if version != _VERSION:
        raise InvalidSnapshot(f"snapshot has version {version}, expected {_VERSION}")
    try:
        header = _Header.model_validate_json(data[_PREFIX.size : _PREFIX.size + size])
    except ValidationError as error:
        raise InvalidSnapshot(
            f"snapshot header has {error.error_count()} faults, expected none"
        ) from error
    state = header.state
    highest = max(state.position, state.frames, state.events, state.missing, *state.updates)
    if highest >= _MAX_COUNT:
        raise InvalidSnapshot(f"snapshot counts to {highest}, expected less than 2^62")
    unknown = sorted({a.dtype for a in header.arrays} - set(_TYPES))
    if unknown:
        raise InvalidSnapshot(f"snapshot holds arrays of {unknown}, expected {sorted(_TYPES)}")
    at, arrays = _PREFIX.size + size, {}
    expected = at + sum(a.nbytes for a in header.arrays)
    if len(data) != expected:
        raise InvalidSnapshot(f"snapshot has {len(data)} bytes, expected {expected}")
    for a in header.arrays:
        flat = np.frombuffer(data, dtype=a.dtype, count=math.prod(a.shape), offset=at)
        if a.dtype == "float32" and not np.isfinite(flat).all():
            raise InvalidSnapshot(f"array {a.name!r} holds NaN or infinity, expected numbers")
        arrays[a.name] = flat.reshape(a.shape).copy()
        at += a.nbytes
    return Snapshot(state, arrays)
