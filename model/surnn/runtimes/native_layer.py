"""One layer of the native runtime: its packed weights, and the kernel that suits its switches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surnn.cells import Cell
from surnn.clock import AMPLITUDE_LIMIT, AMPLITUDE_ONE, CLOCK_ONE, clock_basis, increments
from surnn.kernels.batches import batch_layer8, batch_layer16
from surnn.kernels.blocks import block_layer8, block_layer16
from surnn.kernels.cache import instruction_set
from surnn.kernels.cells import SuGRU, SuLSTM, SuRNN
from surnn.kernels.packing import aligned, pack_blocks, pack_head, pack_rows, padded
from surnn.kernels.row_batches import row_batch_layer
from surnn.kernels.rows import row_layer
from surnn.kernels.switches import neuron_bits
from surnn.spec import LayerSpec, ModelSpec, SwitchMode
from surnn.types import Float32, Int64

__all__ = [
    "BREAK_EVEN",
    "CellStates",
    "NativeLayer",
    "cell_states",
    "cell_weights",
    "choose_kernel",
    "pack",
    "run_kernel",
]

CellStates = SuRNN | SuGRU | SuLSTM

_STATES: dict[Cell, type[CellStates]] = {
    Cell.SURNN: SuRNN,
    Cell.SUGRU: SuGRU,
    Cell.SULSTM: SuLSTM,
}
"""What tells the kernels which cell they run."""
_WEIGHTS = ("weight_x", "weight_h", "bias_x", "bias_h")


BREAK_EVEN = 0.7
"""Open rate of per-neuron switches above which computing whole blocks is faster than skipping
rows (`surnn bench kernel`). Fixed for a layer: the two round differently, and a session's numbers
must not depend on the company it keeps."""

# Where sharing weights between sessions beats keeping tiles from frame to frame. Both give the
# same bits, so this may depend on the batch.
_MANY_SESSIONS, _FEW_FRAMES = 24, 64

_SAMPLED_FRAMES = 4096
_FROM_CLOCK = (SwitchMode.CLOCK, SwitchMode.CLOCK_INPUT)
_FROM_INPUT = (SwitchMode.INPUT, SwitchMode.CLOCK_INPUT)


class NativeLayer:
    """Runs one layer over the frames of all sessions of a batch."""

    def __init__(self, spec: ModelSpec, index: int, weights: Mapping[str, Float32]) -> None:
        layer = spec.layers[index]
        self._hidden, self._group = layer.hidden, layer.switch.group
        self._last = index == len(spec.layers) - 1
        self._switches = _PackedSwitches(layer, weights, f"layers.{index}.switch.")
        self.kernel = choose_kernel(layer, self._switches.open_rate)
        self.cell = layer.cell
        packed = pack(self.kernel, cell_weights(weights, f"layers.{index}.cell."))
        begin = sum(below.hidden for below in spec.layers[:index])
        head = pack_head(weights["head.weight"][:, begin : begin + layer.hidden])
        self.labels = len(head)
        """C', labels padded to whole vectors."""
        head_bias: Float32 = np.zeros(self.labels, np.float32)
        if index == 0:
            head_bias[: len(spec.labels)] = weights["head.bias"]
        self._weights = (*packed, head, head_bias)

    def __call__(
        self,
        frame: Int64,
        offsets: Int64,
        rows: Int64,
        features: Float32,
        x: Float32,
        below: NDArray[np.uint16],
        states: CellStates,
        logits: Float32,
        opened: Float32,
    ) -> tuple[Float32, NDArray[np.uint16]]:
        """Advance `states` in place; returns all hidden states and the open neurons.

        Args:
            frame: number of each session's next frame [capacity].
            offsets: each session's first of the N frames, and N: [B + 1].
            rows: each session's row of `frame` and `states` [B].
            features: what the switches see [N, F].
            x: inputs [N, I].
            below: open neurons of the layer below [N, ceil(I / 16)], or empty.
            states: the layer's states in the pool (`cell_states`).
            logits: added to, [N, C'].
            opened: filled with the number of open neurons [N].
        """
        words = self._switches(frame, offsets, rows, features, opened)
        out = np.empty((0 if self._last else len(x), self._hidden), np.float32)
        tail = (states, *self._weights, logits, out)
        run_kernel(self.kernel, words, offsets, rows, x, below, tail)
        return out, words


class _PackedSwitches:
    """The switches of one layer, as `surnn.kernels.switches` reads them."""

    def __init__(self, layer: LayerSpec, weights: Mapping[str, Float32], prefix: str) -> None:
        switch = layer.switch
        self._mode, self._count, self._group = switch.mode, layer.switches, switch.group
        self._hidden, self._words = layer.hidden, padded(layer.hidden, 16) // 16
        self._inputs = 0
        self._inc: Int64 = np.zeros(0, np.int64)
        parts: list[NDArray[np.float32]] = []
        bias = np.ones(self._count, np.float32)
        if switch.mode is not SwitchMode.NONE:
            bias = weights[prefix + "bias"]
        if switch.mode in _FROM_CLOCK:
            self._inc = increments(switch.frequencies, switch.min_period, switch.max_period)
            # Round as training does, half to even, in float32.
            scaled = weights[prefix + "amplitude"] * np.float32(AMPLITUDE_ONE)
            parts.append(np.round(np.clip(scaled, -AMPLITUDE_LIMIT, AMPLITUDE_LIMIT)))
            bias = np.round(bias * np.float32(CLOCK_ONE))
        if switch.mode in _FROM_INPUT:
            parts.append(weights[prefix + "weight"])
            self._inputs = len(parts[-1])
        table = np.concatenate(parts) if parts else np.zeros((0, self._count), np.float32)
        width = padded(self._count, 16)
        self._weights = aligned(np.pad(table, ((0, 0), (0, width - self._count))))
        self._bias = aligned(
            np.pad(bias, (0, width - self._count), constant_values=-1.0).astype(np.float32)
        )
        self._unit = np.float32(1.0 / CLOCK_ONE if switch.mode is SwitchMode.CLOCK_INPUT else 1.0)
        self.open_rate = self._expected_open_rate(layer)

    def _expected_open_rate(self, layer: LayerSpec) -> float:
        """Share of open switches: sampled from the clock where that alone decides."""
        if self._mode is SwitchMode.NONE:
            return 1.0
        if self._mode is not SwitchMode.CLOCK:
            return layer.switch.open_rate
        # A prime stride visits all phases of the periods.
        t = np.arange(_SAMPLED_FRAMES, dtype=np.int64) * 104_729
        clock = clock_basis(t, self._inc).astype(np.float32) @ self._weights + self._bias
        return float((clock[:, : self._count] > 0).mean())

    def __call__(
        self, frame: Int64, offsets: Int64, rows: Int64, features: Float32, opened: Float32
    ) -> NDArray[np.uint16]:
        words = np.zeros((len(features), self._words), np.uint16)
        neuron_bits(
            frame, offsets, rows, self._inc, features, self._inputs, self._weights, self._bias,
            self._unit, self._count, self._group, self._hidden, words, opened,
        )  # fmt: skip
        return words


def cell_states(cell: Cell, arrays: tuple[Any, ...]) -> CellStates:
    """A layer's states [capacity, H] as the kernels want them."""
    return _STATES[cell](*arrays)


def cell_weights(weights: Mapping[str, Float32], prefix: str) -> tuple[Float32, ...]:
    """What a cell has of weight_x, weight_h, bias_x, bias_h, in this order."""
    return tuple(weights[prefix + name] for name in _WEIGHTS if prefix + name in weights)


def pack(kernel: str, weights: tuple[Float32, ...]) -> tuple[Float32, Float32, int]:
    """Weights, biases and X as `row`, `block8` or `block16` reads them."""
    if kernel == "row":
        return pack_rows(*weights)
    return pack_blocks(*weights, lanes=8 if kernel == "block8" else 16)


def run_kernel(
    kernel: str,
    words: NDArray[np.uint16],
    offsets: Int64,
    rows: Int64,
    x: Float32,
    below: NDArray[np.uint16],
    tail: tuple[Any, ...],
) -> None:
    """Run `row`, `block8` or `block16`; `tail` is (states, weights, bias, X, head, its bias,
    logits, out). Arguments as in `surnn.kernels.rows` and `surnn.kernels.blocks`."""
    together = _shares_weights(len(rows), len(x))
    if kernel == "row":
        (row_batch_layer if together else row_layer)(words, offsets, rows, x, *tail)
    elif together:
        batch = batch_layer8 if kernel == "block8" else batch_layer16
        batch(words, offsets, rows, x, *tail)
    else:
        single = block_layer8 if kernel == "block8" else block_layer16
        single(words, offsets, rows, x, below, *tail)


def _shares_weights(sessions: int, frames: int) -> bool:
    """Does a batch run faster with sessions in step?"""
    # Sums of 4 to 6 sessions at once fit into the registers of AVX-512 only.
    fits = instruction_set() == "avx512"
    return fits and sessions >= _MANY_SESSIONS and frames <= _FEW_FRAMES * sessions


def choose_kernel(layer: LayerSpec, open_rate: float) -> str:
    """`row`, `block8` or `block16`: by the neurons that share a switch, and how many are open."""
    group = layer.switch.group
    if layer.switch.mode is SwitchMode.NONE or group % 16 == 0:
        return "block16"
    if group % 8 == 0:
        return "block8"
    return "row" if open_rate < BREAK_EVEN else "block16"
