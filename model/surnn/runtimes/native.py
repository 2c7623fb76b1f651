"""The native CPU runtime: compiled kernels that neither compute nor write closed neurons.

Sessions keep their states in the rows of a `StatePool`; the kernels read and write those rows
where they are. One call per layer carries all frames of all sessions. Every session's numbers are
the same bits in any batch and under any chunking.

Needs the `native` extra; reads `model.safetensors` and `spec.json`, no torch, no ONNX.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from surnn.cells import Cell
from surnn.errors import CorruptModel, InvalidShape, MissingDependency, UnknownModel
from surnn.fingerprint import fingerprint
from surnn.runtimes.base import FrameBlock
from surnn.runtimes.joined import JoinedBlocks, JoinedFrames
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

__all__ = ["NativePool", "NativeRuntime"]

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
        self._frame_size, self._labels = spec.frame_size, len(spec.labels)

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

    def new_pool(self, capacity: int) -> NativePool:
        """A pool in main memory."""
        return NativePool(self.spec, capacity)

    def run(
        self, pool: Pool, slots: Sequence[Slot], frames: Sequence[Float32]
    ) -> Sequence[FrameBlock]:
        """See `Runtime.run`. Frames that are joined already are not copied."""
        if not isinstance(pool, NativePool):
            raise InvalidShape(f"pool is a {type(pool).__name__}, expected one of this runtime's")
        if not slots:
            return []
        if len(frames) != len(slots):
            raise InvalidShape(
                f"{len(frames)} arrays of frames, expected one for each of {len(slots)} slots"
            )
        rows: Int64 = pool.rows(slots).astype(np.int64, copy=False)
        if len(slots) == 1:
            only = frames[0]
            self._check(only)
            alone = self._run(pool, rows, np.ascontiguousarray(only), [0, len(only)])
            return [FrameBlock(alone.logits, alone.opened)]
        joined = frames if isinstance(frames, JoinedFrames) else self._join(frames)
        self._check(joined.joined)
        if len(joined.joined) <= _FRAMES:
            return self._run(pool, rows, joined.joined, joined.ends)
        blocks: list[FrameBlock] = []
        for first, last in _passes(joined.ends):
            begin, end = joined.ends[first], joined.ends[last]
            ends = [place - begin for place in joined.ends[first : last + 1]]
            blocks += self._run(pool, rows[first:last], joined.joined[begin:end], ends)
        return blocks

    def _join(self, frames: Sequence[Float32]) -> JoinedFrames:
        for item in frames:
            self._check(item)
        return JoinedFrames(np.concatenate(frames), [0, *accumulate(map(len, frames))])

    def _check(self, frames: Float32) -> None:
        size = self._frame_size
        if frames.ndim != 2 or frames.shape[1] != size or frames.dtype != np.float32:
            raise InvalidShape(
                f"frames are {frames.dtype} {list(frames.shape)}, expected float32 [T, {size}]"
            )

    def _run(
        self, pool: NativePool, rows: Int64, frames: Float32, marks: Sequence[int]
    ) -> JoinedBlocks:
        count = len(frames)
        ends: Int64 = np.array(marks, dtype=np.int64)
        features = self._features(frames, ends, rows, pool.context)
        if self._encoder:
            features = self._encoder(features, ends, rows, pool.past)
        logits = np.zeros((count, self._layers[0].labels), np.float32)
        opened = np.empty((len(self._layers), count), np.float32)
        x, below = features, _ANY
        for i, layer in enumerate(self._layers):
            states = pool.layers[i]
            x, below = layer(pool.t, ends, rows, features, x, below, states, logits, opened[i])
        pool.t[rows] += ends[1:] - ends[:-1]
        return JoinedBlocks(logits[:, : self._labels], opened.T, marks)


class NativePool(StatePool):
    """States in main memory, each also as the kernels want it: the same arrays."""

    def __init__(self, spec: ModelSpec, capacity: int) -> None:
        super().__init__(spec.states, capacity)
        # Which dtype lies under which name is the spec's affair, not the type checker's.
        arrays: dict[str, Any] = dict(self.arrays)
        nothing: Float32 = np.zeros((0, 0), np.float32)
        self.t: Int64 = arrays["t"]
        self.context: Float32 = arrays.get("context", nothing)
        self.past: Float32 = arrays.get("past", nothing)
        self.layers = [
            cell_states(layer.cell, tuple(arrays[state.name] for state in spec.layer_states(i)))
            for i, layer in enumerate(spec.layers)
        ]


def _passes(ends: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Sessions that one pass through the layers takes: the first, and the one behind the last."""
    first = 0
    for last in range(1, len(ends)):
        if last == len(ends) - 1 or ends[last + 1] - ends[first] > _FRAMES:
            yield first, last
            first = last


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
