"""Requests and responses of the Open Inference Protocol as bytes, with binary tensors. No I/O.

A body is JSON; tensors that announce a `binary_data_size` follow it, one after the other, and the
header `Inference-Header-Content-Length` then says where the JSON ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from surnn_server.codes import ErrorCode, Refusal

__all__ = [
    "HEADER_LENGTH",
    "InferRequest",
    "OutputTensor",
    "RequestedOutput",
    "Tensor",
    "item_size",
    "parse_request",
    "render_response",
]

HEADER_LENGTH = "Inference-Header-Content-Length"

_TYPES = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_MAX_TENSORS = 16
_MAX_JSON = 4 << 20
"""Nothing else runs in the process while text becomes numbers: 70 ms for this many bytes."""

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input tensor."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: memoryview
    """Bytes of the elements, little-endian and row-major: as many as the shape says."""


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that the client asked for."""

    name: str
    binary: bool


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What a client asks."""

    id: str | None
    parameters: Parameters
    inputs: tuple[Tensor, ...]
    outputs: tuple[RequestedOutput, ...]
    """None of them named: all are wanted."""
    binary: bool
    """How outputs that were not asked for by name are sent."""


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """An output tensor: numbers, or texts with the datatype BYTES."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: NDArray[np.generic] | Sequence[str]
    binary: bool


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True)


class _WireInput(_Wire):
    name: str
    datatype: str
    shape: list[Annotated[int, Field(ge=0, lt=2**40)]] = Field(max_length=8)
    parameters: dict[str, Any] = Field(default_factory=dict)
    data: Any = None


class _WireOutput(_Wire):
    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class _WireRequest(_Wire):
    id: str | None = Field(default=None, max_length=1024)
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: list[_WireInput] = Field(max_length=_MAX_TENSORS)
    outputs: list[_WireOutput] = Field(default_factory=list, max_length=_MAX_TENSORS)


def parse_request(body: bytes, json_length: int | None) -> InferRequest:
    """The request in a body. Raises `Refusal`.

    Args:
        body: all of it, decompressed.
        json_length: where the JSON ends and binary tensors begin; None: no tensor is binary.
    """
    end = len(body) if json_length is None else json_length
    if not 0 <= end <= len(body):
        raise _refused(f"{HEADER_LENGTH} is {end}, expected at most the body's {len(body)} bytes")
    if end > _MAX_JSON:
        raise Refusal(
            ErrorCode.UPLOAD_TOO_BIG,
            f"request has {end} bytes of JSON, expected at most {_MAX_JSON}: send binary tensors",
        )
    view = memoryview(body)
    try:
        wire = _WireRequest.model_validate(orjson.loads(view[:end]))
    except orjson.JSONDecodeError as error:
        raise _refused(
            f"request is not JSON ({error.msg}), expected an object with 'inputs'"
        ) from None
    except ValidationError as error:
        raise _refused(_problem(error)) from None
    inputs, at = [], end
    for item in wire.inputs:
        tensor, at = _tensor(item, view, at)
        inputs.append(tensor)
    if at != len(body):
        raise _refused(f"{len(body) - at} bytes follow the last tensor, expected none")
    default = wire.parameters.get("binary_data_output", False) is True
    return InferRequest(
        id=wire.id,
        parameters=wire.parameters,
        inputs=tuple(inputs),
        outputs=tuple(_requested(item, default) for item in wire.outputs),
        binary=default,
    )


def render_response(
    head: Mapping[str, Any], outputs: Sequence[OutputTensor]
) -> tuple[bytes, int | None]:
    """A body, and where its JSON ends if binary tensors follow."""
    described: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for output in outputs:
        entry: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": output.shape,
        }
        if output.binary:
            parts.append(_binary(output))
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        elif isinstance(output.data, np.ndarray):
            entry["data"] = np.ascontiguousarray(output.data).ravel()
        else:
            entry["data"] = list(output.data)
        described.append(entry)
    text = orjson.dumps({**head, "outputs": described}, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([text, *parts]), len(text) if parts else None


def item_size(datatype: str) -> int:
    """Bytes of one element. Raises `Refusal` when there is no such datatype of fixed size."""
    if datatype not in _TYPES:
        raise _refused(f"datatype is {datatype[:32]!r}, expected one of {list(_TYPES)}")
    return np.dtype(_TYPES[datatype]).itemsize


def _tensor(item: _WireInput, body: memoryview, at: int) -> tuple[Tensor, int]:
    """A tensor, and where the next binary one begins."""
    name, shape = item.name, tuple(item.shape)
    if "shared_memory_region" in item.parameters:
        raise _refused(f"input {name!r} is in shared memory, expected its data in the request")
    expected = math.prod(shape) * item_size(item.datatype)
    size = item.parameters.get("binary_data_size")
    if size is None:
        return Tensor(name, item.datatype, shape, _from_json(item, expected)), at
    if item.data is not None:
        raise _refused(f"input {name!r} has 'data' and 'binary_data_size', expected one of them")
    if type(size) is not int or size != expected:
        raise _refused(
            f"input {name!r} has {size!r} bytes of binary data, expected {expected} "
            f"for {item.datatype} {list(shape)}"
        )
    if at + size > len(body):
        raise _refused(
            f"input {name!r} has {len(body) - at} bytes in the body, expected {size} "
            f"(is {HEADER_LENGTH} set?)"
        )
    return Tensor(name, item.datatype, shape, body[at : at + size]), at + size


def _from_json(item: _WireInput, expected: int) -> memoryview:
    name, shape = item.name, item.shape
    if not isinstance(item.data, list):
        raise _refused(
            f"input {name!r} has data of type {type(item.data).__name__}, expected an array "
            "or 'binary_data_size'"
        )
    try:
        # Without a type first: with one, numpy would take the text "1.5" for a number.
        values = np.asarray(item.data)
    except ValueError:
        raise _refused(
            f"input {name!r} has ragged data, expected {shape} or a flat array"
        ) from None
    target = np.dtype(_TYPES[item.datatype])
    if not values.size:
        values = np.zeros(values.shape, target)
    if values.dtype.kind not in ("b" if target.kind == "b" else "iuf"):
        raise _refused(f"input {name!r} has data that is not {item.datatype}")
    nested = values.ndim > 1
    if values.size * target.itemsize != expected or (nested and list(values.shape) != shape):
        raise _refused(
            f"input {name!r} has data of shape {list(values.shape)}, expected {shape} "
            "or the same flat"
        )
    # What is too large for a float becomes infinity, which the model's input refuses.
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.astype(target)
    if target.kind in "iu" and not np.array_equal(cast, values):
        raise _refused(f"input {name!r} has numbers that are not {item.datatype}")
    return memoryview(cast.tobytes())


def _requested(item: _WireOutput, default: bool) -> RequestedOutput:
    unknown = {"shared_memory_region", "classification"} & set(item.parameters)
    if unknown:
        raise _refused(f"output {item.name!r} asks for {min(unknown)}, expected plain data")
    binary = item.parameters.get("binary_data", default)
    return RequestedOutput(item.name, binary is True)


def _binary(output: OutputTensor) -> bytes:
    if isinstance(output.data, np.ndarray):
        return output.data.astype(_TYPES[output.datatype]).tobytes()
    encoded = [text.encode() for text in output.data]
    return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)


def _problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in problem["loc"]) or "request"
    seen = repr(problem["input"])
    seen = seen if len(seen) <= 80 else f"{seen[:77]}..."
    reason = str(problem["msg"]).replace("Input should be ", "expected ")
    return f"{field} is {seen}, {reason[0].lower() + reason[1:]}"


def _refused(message: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_REQUEST, message)
