"""A smaller file of the same model: weights in 8 bits, the front end's tables in 16.

Only the file shrinks. Each weight is stored as a whole number times a scale of its row, and becomes
a float again when the graph is loaded: ONNX Runtime has no GRU in integers, and arithmetic in
float32 keeps the carry of closed neurons exact. So speed and memory are those of the large file.
(onnxruntime's own `quantize_dynamic` has no GRU either, and would round the clocks' tables.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from surnn.errors import CorruptModel
from surnn.runtimes.onnx import FINGERPRINT_KEY, METADATA_KEY
from surnn.spec import ModelSpec

__all__ = ["SUFFIX", "Shrunk", "shrink"]

SUFFIX = "-int8"
"""Behind the name of a model whose weights are stored in 8 bits."""
_TABLES = ("cosines", "sines", "bands")
"""Of the front end: 8 bits would be heard as noise 48 dB below the signal, 16 are not."""
_WHOLE = ("sine", "clock")
"""Tables of whole numbers: exact in 16 bits, and clocks must stay exact."""
_SMALLEST = 1100
"""Arrays of fewer numbers stay as they are: scales would eat what is saved, and weights of switches
that hear the input are among them, where the smallest error may open or close a neuron."""
_MASK = 1000.0
"""Columns with a weight above this close gates (see `surnn.export.cells`): never rounded."""

_FLOATS = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.float64): TensorProto.DOUBLE,
}
"""Sums of front end and encoder are in float64."""

Array = NDArray[np.floating]
Part = tuple[NDArray[np.integer], Array]
"""Whole numbers, and the scales that they are multiplied by."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A graph with small weights."""

    content: bytes
    largest_error: float
    """Of a weight, as a share of the largest one in its row."""
    arrays: int
    """How many were shrunk."""


def shrink(content: bytes) -> Shrunk:
    """The graph of an exported model with its weights in 8 bits, called `<name>-int8`.

    Raises `CorruptModel` when it is not a surnn graph.
    """
    model = onnx.load_from_string(content)
    graph = model.graph
    kept: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    worst, count = 0.0, 0
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        stem = tensor.name.rpartition("_")[0]
        if array.dtype not in _FLOATS or array.size < _SMALLEST:
            kept.append(tensor)
            continue
        parts = _parts(array, stem)
        if parts is None:
            kept.append(tensor)
            continue
        count += 1
        if stem not in (*_TABLES, *_WHOLE):
            worst = max(worst, _error(array, parts))
        names = [
            _restore(f"{tensor.name}_p{i}", *part, kept, nodes) for i, part in enumerate(parts)
        ]
        nodes.append(helper.make_node("Concat", names, [tensor.name], axis=array.ndim - 1))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    _rename(model)
    return Shrunk(model.SerializeToString(), worst, count)


def _parts(array: Array, stem: str) -> list[Part] | None:
    """The array as runs of columns; None where it must stay as it is."""
    if stem in _WHOLE:
        whole = array.astype(np.int16)
        if not np.array_equal(whole.astype(array.dtype), array):
            return None
        return [(whole, np.ones((1,) * array.ndim, array.dtype))]
    limit = 32767 if stem in _TABLES else 127
    return [_rounded(piece, limit) for piece in _pieces(array)]


def _error(array: Array, parts: list[Part]) -> float:
    """Largest error of a weight, as a share of the largest one in its row and piece."""
    worst = 0.0
    for piece, (whole, scale) in zip(_pieces(array), parts, strict=True):
        top = np.maximum(np.abs(piece).max(axis=-1, keepdims=True), 1e-30)
        worst = max(worst, float((np.abs(whole * scale - piece) / top).max()))
    return worst


def _pieces(array: Array) -> Iterator[Array]:
    """Runs of columns that are masks, or are not: each gets scales of its own."""
    masks = (np.abs(array) >= _MASK).reshape(-1, array.shape[-1]).any(axis=0)
    edges = [0, *(np.flatnonzero(np.diff(masks)) + 1).tolist(), array.shape[-1]]
    for first, last in pairwise(edges):
        yield array[..., first:last]


def _rounded(array: Array, limit: int) -> Part:
    """Whole numbers within ±limit and the scale of each row."""
    scale = np.maximum(np.abs(array).max(axis=-1, keepdims=True), 1e-30) / limit
    whole = np.round(array / scale)
    kind = np.int8 if limit <= 127 else np.int16
    return whole.astype(kind), scale.astype(array.dtype)


def _restore(
    name: str,
    whole: NDArray[np.integer],
    scale: Array,
    kept: list[onnx.TensorProto],
    nodes: list[onnx.NodeProto],
) -> str:
    """Nodes that make the float array again; the runtime folds them when it loads the graph."""
    kept.append(numpy_helper.from_array(np.ascontiguousarray(whole), f"{name}_q"))
    kept.append(numpy_helper.from_array(np.ascontiguousarray(scale), f"{name}_s"))
    nodes.append(helper.make_node("Cast", [f"{name}_q"], [f"{name}_f"], to=_FLOATS[scale.dtype]))
    nodes.append(helper.make_node("Mul", [f"{name}_f", f"{name}_s"], [name]))
    return name


def _rename(model: onnx.ModelProto) -> None:
    """The spec says another name, the fingerprint other weights."""
    values = {p.key: p for p in model.metadata_props}
    if METADATA_KEY not in values or FINGERPRINT_KEY not in values:
        raise CorruptModel(f"graph has no {METADATA_KEY!r} metadata, expected a surnn export")
    spec = ModelSpec.model_validate_json(values[METADATA_KEY].value)
    name = spec.name.removesuffix(SUFFIX) + SUFFIX
    values[METADATA_KEY].value = spec.model_copy(update={"name": name}).model_dump_json()
    digest = hashlib.sha256(b"int8" + model.graph.SerializeToString(deterministic=True))
    values[FINGERPRINT_KEY].value = digest.hexdigest()[:32]
