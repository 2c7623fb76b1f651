"""The native CPU runtime: compiled kernels that neither compute nor write closed neurons.

Sessions keep their states in the rows of a `StatePool`; the kernels read and write those rows
where they are. One call per layer carries all frames of all sessions. Every session's numbers are
the same bits in any batch and under any chunking.

Needs the `native` extra; reads `model.safetensors` and `spec.json`, no torch, no ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from surnn.cells import Cell
from surnn.errors import CorruptModel, InvalidShape, MissingDependency, UnknownModel
from surnn.fingerprint import fingerprint
from surnn.runtimes.base import FrameBlock
from surnn.runtimes.support import check_native
from surnn.spec import ModelSpec, SwitchMode
from surnn.state import Pool, Slot, StatePool
from surnn.types import Float32, Int64

try:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from surnn.features import ConvolutionEncoder, build_features
    from surnn.runtimes.native_layer import NativeLayer, cell_states
except ImportError as error:
    raise MissingDependency(
        f"the native runtime needs {error.name}, expected an installation with "
        "pip install 'surnn[native]'"
    ) from error

__all__ = ["NativeRuntime"]

SPEC_FILE, WEIGHTS_FILE = "spec.json", "model.safetensors"
_MANY = 64
"""Sessions enough for the kernels that share weights between them."""
_FRAMES = 4096
"""Frames that one pass through the layers carries at most: bounds its memory."""

_GATES = {Cell.SURNN: 1, Cell.SUGRU: 3, Cell.SULSTM: 4}
_ANY: NDArray[np.uint16] = np.zeros((0, 0), np.uint16)
"""Open neurons below the first layer: any feature may change in any frame."""


class NativeRuntime:
    """Runs a saved network. Thread-safe: holds weights, no state."""

    name = "native"
    atomic = False

    def __init__(self, spec: ModelSpec, weights: Mapping[str, Float32]) -> None:
        """Take a network's weights, named as in its state dict.

        Raises `InvalidConfig` for cells without kernels, `CorruptModel` when weights do not fit.
        """
        check_native(spec)
        self.spec = spec
        expected = _shapes(spec)
        seen = {name: tuple(array.shape) for name, array in weights.items()}
        if seen != expected:
            names = sorted(
                k for k in seen.keys() | expected.keys() if seen.get(k) != expected.get(k)
            )
            raise CorruptModel(
                f"weights {names} are {[seen.get(k) for k in names]}, "
                f"expected {[expected.get(k) for k in names]}"
            )
        self.fingerprint = fingerprint(spec, weights)
        self._features = build_features(spec)
        self._encoder = (
            ConvolutionEncoder(weights["encoder.conv.weight"], weights["encoder.conv.bias"])
            if spec.encoder
            else None
        )
        self._layers = [NativeLayer(spec, i, weights) for i in range(len(spec.layers))]
        self._no_context: Float32 = np.zeros((0, 0), np.float32)

    @classmethod
    def open(cls, directory: Path) -> NativeRuntime:
        """Load a saved model's folder, its kernels compiled.

        Raises `UnknownModel`, `CorruptModel`, or `InvalidConfig` for cells without kernels.
        """
        for name in (SPEC_FILE, WEIGHTS_FILE):
            if not (directory / name).is_file():
                raise UnknownModel(f"{directory.name} holds no {name}, expected a saved model")
        try:
            spec = ModelSpec.model_validate_json((directory / SPEC_FILE).read_text())
            weights = load_file(directory / WEIGHTS_FILE)
        except (ValidationError, SafetensorError) as error:
            raise CorruptModel(f"{directory.name} cannot be read: {error}") from error
        runtime = cls(spec, weights)
        runtime.warm_up()
        return runtime

    @property
    def kernels(self) -> tuple[str, ...]:
        """The kernel that runs each layer: `row`, `block8` or `block16`."""
        return tuple(layer.kernel for layer in self._layers)

    def warm_up(self) -> None:
        """Run every kernel that some batch may need: compiling must not hold up a stream."""
        pool = self.new_pool(_MANY)
        slots = [pool.acquire() for _ in range(_MANY)]
        frames: Float32 = np.zeros((2, self.spec.frame_size), np.float32)
        for count in (1, _MANY):
            self.run(pool, slots[:count], [frames] * count)

    def new_pool(self, capacity: int) -> StatePool:
        """A pool in main memory."""
        return StatePool(self.spec.states, capacity)

    def run(self, pool: Pool, slots: Sequence[Slot], frames: Sequence[Float32]) -> list[FrameBlock]:
        """See `Runtime.run`."""
        if not isinstance(pool, StatePool):
            raise InvalidShape(f"pool is a {type(pool).__name__}, expected one of this runtime's")
        if not slots:
            return []
        size = self.spec.frame_size
        lengths = []
        for item in frames:
            if item.ndim != 2 or item.shape[1] != size or item.dtype != np.float32:
                raise InvalidShape(
                    f"frames are {item.dtype} {list(item.shape)}, expected float32 [T, {size}]"
                )
            lengths.append(len(item))
        if len(lengths) != len(slots):
            raise InvalidShape(
                f"{len(lengths)} arrays of frames, expected one for each of {len(slots)} slots"
            )
        rows: Int64 = pool.rows(slots).astype(np.int64, copy=False)
        blocks: list[FrameBlock] = []
        begin = 0
        while begin < len(slots):
            end, total = begin, 0
            while end < len(slots) and (end == begin or total + lengths[end] <= _FRAMES):
                total += lengths[end]
                end += 1
            blocks += self._run(pool, rows[begin:end], frames[begin:end], lengths[begin:end])
            begin = end
        return blocks

    def _run(
        self, pool: StatePool, rows: Int64, frames: Sequence[Float32], lengths: list[int]
    ) -> list[FrameBlock]:
        # Which dtype lies under which name is the spec's affair, not the type checker's.
        arrays: dict[str, Any] = dict(pool.arrays)
        ends: Int64 = np.array([0, *accumulate(lengths)], dtype=np.int64)
        joined = np.ascontiguousarray(frames[0]) if len(frames) == 1 else np.concatenate(frames)
        starts = arrays["t"][rows]
        context = arrays.get("context", self._no_context)
        features = self._features(joined, ends, rows, context)
        if self._encoder:
            features = self._encoder(features, ends, rows, arrays["past"])
        logits = np.zeros((len(joined), self._layers[0].labels), np.float32)
        opened = np.empty((len(self._layers), len(joined)), np.float32)
        x, below = features, _ANY
        for i, layer in enumerate(self._layers):
            names = (state.name for state in self.spec.layer_states(i))
            states = cell_states(layer.cell, tuple(arrays[name] for name in names))
            x, below = layer(starts, ends, rows, features, x, below, states, logits, opened[i])
        arrays["t"][rows] = starts + (ends[1:] - ends[:-1])
        logits = logits[:, : len(self.spec.labels)]
        marks = ends.tolist()
        return [FrameBlock(logits[a:b], opened[:, a:b].T) for a, b in pairwise(marks)]


def _shapes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """What a saved network of this spec holds (`surnn.nn.Network.state_dict`)."""
    shapes: dict[str, tuple[int, ...]] = {
        "head.weight": (len(spec.labels), spec.neurons),
        "head.bias": (len(spec.labels),),
    }
    if spec.encoder:
        width, channels = spec.encoder.width, spec.frontend.features
        shapes["encoder.conv.weight"] = (width, channels, spec.encoder.frames)
        shapes["encoder.conv.bias"] = (width,)
    inputs = features = spec.features
    for i, layer in enumerate(spec.layers):
        hidden, switch = layer.hidden, layer.switch
        rows = _GATES[layer.cell] * hidden
        shapes |= {
            f"layers.{i}.cell.weight_x": (rows, inputs),
            f"layers.{i}.cell.weight_h": (rows, hidden),
            f"layers.{i}.cell.bias_x": (rows,),
        }
        if layer.cell is Cell.SUGRU:
            shapes[f"layers.{i}.cell.bias_h"] = (hidden,)
        if switch.mode in (SwitchMode.CLOCK, SwitchMode.CLOCK_INPUT):
            shapes[f"layers.{i}.switch.amplitude"] = (2 * switch.frequencies, layer.switches)
        if switch.mode in (SwitchMode.INPUT, SwitchMode.CLOCK_INPUT):
            shapes[f"layers.{i}.switch.weight"] = (features, layer.switches)
        if switch.mode is not SwitchMode.NONE:
            shapes[f"layers.{i}.switch.bias"] = (layer.switches,)
        inputs = hidden
    return shapes
