"""Looking into an .onnx file before a runtime opens it, without the `onnx` package.

Protocol buffers are nested lists of numbered fields; only those that lead to tensors are followed.
A tensor may keep its data in another file, whose path the model chooses: such models are refused,
because that path could name any file that the server can read.
"""

from __future__ import annotations

from collections.abc import Iterator

from surnn.errors import CorruptModel

__all__ = ["check_onnx"]

# message: {field number: message inside}, from onnx.proto
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "function": {7: "node", 11: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_MAX_DEPTH = 32
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def check_onnx(data: bytes, label: str) -> None:
    """Raises `CorruptModel` unless the bytes are a model that stands for itself."""
    try:
        _check("model", memoryview(data), label, 0)
    except (IndexError, ValueError):
        raise CorruptModel(
            f"{label} cannot be loaded: it is damaged, expected an ONNX model"
        ) from None


def _check(kind: str, data: memoryview, label: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise CorruptModel(f"{label} nests deeper than {_MAX_DEPTH} levels, expected a flat graph")
    inside = _FIELDS.get(kind, {})
    for number, value in _fields(data):
        if kind == "tensor":
            elsewhere = value != 0 if number == _DATA_LOCATION else number == _EXTERNAL_DATA
            if elsewhere:
                raise CorruptModel(
                    f"{label} keeps weights in another file, expected all of them inside"
                )
        elif number in inside and isinstance(value, memoryview):
            _check(inside[number], value, label, depth + 1)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == _BYTES:
            size, position = _varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type is {wire}, expected 0, 1, 2 or 5")
        end = position + size
        if end > len(data):
            raise ValueError(f"field of {size} bytes, expected at most {len(data) - position}")
        yield number, data[position:end]
        position = end


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("number of more than 64 bits, expected fewer")
