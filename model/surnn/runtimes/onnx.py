"""ONNX Runtime: the same graph on any CPU, one call for a whole chunk of a whole batch.

Graph signature (see `surnn.export`), all axes named `batch` and `time` dynamic:

    frames   float32 [B, T, S]    next_<state>  [B, ...]  one for each state of the spec
    lengths  int64   [B]          logits   float32 [B, T, C]
    <state>  [B, ...]             opened   float32 [B, T, L]

A session with fewer frames than T is padded with zeros; behind its length every switch is forced
closed, so the padding cannot reach its state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from surnn.errors import CorruptModel, InvalidShape
from surnn.runtimes.base import FrameBlock
from surnn.runtimes.onnxfile import check_onnx
from surnn.runtimes.ort import ort
from surnn.spec import ModelSpec
from surnn.state import Pool, Slot, StatePool
from surnn.types import Float32

__all__ = ["FINGERPRINT_KEY", "METADATA_KEY", "OnnxRuntime", "pad_batch"]

METADATA_KEY = "surnn"
"""Where an exported graph keeps its `ModelSpec` as JSON."""
FINGERPRINT_KEY = "surnn.fingerprint"
"""Where it keeps the fingerprint of its weights."""


class OnnxRuntime:
    """Runs an exported model. Thread-safe: holds weights, no state."""

    name = "onnx"
    atomic = True

    def __init__(self, model: Path | bytes) -> None:
        """Load an .onnx file, or its bytes. Raises `CorruptModel`."""
        options = ort.SessionOptions()
        # Threads cost more than these small matrices gain, and would fight over the cores.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        label = "model bytes" if isinstance(model, bytes) else model.name
        try:
            source = model if isinstance(model, bytes) else model.read_bytes()
        except OSError as error:
            raise CorruptModel(f"{label} cannot be read: {error.strerror}") from error
        check_onnx(source, label)
        try:
            self._session = ort.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise CorruptModel(f"{label} cannot be loaded: {error}") from error
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.spec = _read_spec(metadata, label)
        self.fingerprint = metadata.get(FINGERPRINT_KEY, "")
        self._check_signature(label)
        self._outputs = ["logits", "opened", *(f"next_{s.name}" for s in self.spec.states)]

    def _check_signature(self, label: str) -> None:
        seen = {i.name for i in self._session.get_inputs()}
        expected = {"frames", "lengths", *(s.name for s in self.spec.states)}
        if seen != expected:
            raise CorruptModel(f"{label} takes {sorted(seen)}, expected {sorted(expected)}")
        spec = self.spec
        expected = {"logits", "opened", *(f"next_{s.name}" for s in spec.states)}
        seen = {o.name for o in self._session.get_outputs()}
        if not expected <= seen:
            raise CorruptModel(f"{label} gives {sorted(seen)}, expected {sorted(expected)}")
        inner: dict[str, tuple[str, tuple[int, ...]]] = {
            "frames": ("float32", (spec.frame_size,)),
            "lengths": ("int64", ()),
            "logits": ("float32", (len(spec.labels),)),
            "opened": ("float32", (len(spec.layers),)),
        }
        for state in spec.states:
            inner[state.name] = inner[f"next_{state.name}"] = (state.dtype, state.shape)
        for value in (*self._session.get_inputs(), *self._session.get_outputs()):
            dtype, shape = inner.get(value.name, ("", ()))
            if dtype and not _fits(value, dtype, shape):
                raise CorruptModel(
                    f"{label}: {value.name!r} is {value.type} {value.shape}, "
                    f"expected {dtype} [..., {', '.join(map(str, shape))}]"
                )

    def new_pool(self, capacity: int) -> StatePool:
        """A pool in main memory."""
        return StatePool(self.spec.states, capacity)

    def run(self, pool: Pool, slots: Sequence[Slot], frames: Sequence[Float32]) -> list[FrameBlock]:
        """See `Runtime.run`."""
        batch, lengths = pad_batch(frames, self.spec.frame_size)
        if not lengths.any():
            pool.rows(slots)
            none = np.zeros((0, len(self.spec.labels)), np.float32)
            return [FrameBlock(none, np.zeros((0, len(self.spec.layers)), np.float32))] * len(slots)
        feeds = pool.gather(slots) | {"frames": batch, "lengths": lengths}
        logits, opened, *states = self._session.run(self._outputs, feeds)
        pool.scatter(slots, dict(zip((s.name for s in self.spec.states), states, strict=True)))
        return [
            FrameBlock(logits[i, :count], opened[i, :count])
            for i, count in enumerate(lengths.tolist())
        ]


def _fits(value: ort.NodeArg, dtype: str, shape: tuple[int, ...]) -> bool:
    """Has the input or output that type, and that shape behind batch and time?"""
    if value.type != {"float32": "tensor(float)", "int64": "tensor(int64)"}[dtype]:
        return False
    seen = value.shape[len(value.shape) - len(shape) :] if shape else []
    # An axis without a number was not written down by whoever made the graph.
    return len(seen) == len(shape) and all(
        size == expected or not isinstance(size, int)
        for size, expected in zip(seen, shape, strict=True)
    )


def _read_spec(metadata: Mapping[str, str], label: str) -> ModelSpec:
    for key in (METADATA_KEY, FINGERPRINT_KEY):
        if key not in metadata:
            raise CorruptModel(f"{label} has no {key!r} metadata, expected a surnn export")
    try:
        return ModelSpec.model_validate_json(metadata[METADATA_KEY])
    except ValidationError as error:
        raise CorruptModel(f"{label} has an unreadable spec: {error}") from error


def pad_batch(frames: Sequence[Float32], size: int) -> tuple[Float32, np.ndarray]:
    """Frames [T_i, S] of each session as one array [B, T, S], and the lengths [B].

    Raises `InvalidShape` when an array is not [T, S] float32.
    """
    for item in frames:
        if item.ndim != 2 or item.shape[1] != size or item.dtype != np.float32:
            raise InvalidShape(
                f"frames are {item.dtype} {list(item.shape)}, expected float32 [T, {size}]"
            )
    lengths = np.array([len(item) for item in frames], dtype=np.int64)
    longest = int(lengths.max(initial=0))
    if frames and (lengths == longest).all():
        return np.stack(frames), lengths
    batch = np.zeros((len(frames), longest, size), dtype=np.float32)
    for row, item in zip(batch, frames, strict=True):
        row[: len(item)] = item
    return batch, lengths
