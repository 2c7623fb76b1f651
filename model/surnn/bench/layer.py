"""One native layer outside any model: weights, a kind of switches, sessions' states."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surnn.bench.patterns import GROUPS, open_switches, tiles_to_compute, words
from surnn.bench.peers import LayerWeights
from surnn.bench.roofline import least_time_us
from surnn.kernels import reference
from surnn.runtimes.native_layer import cell_states, cell_weights, choose_kernel, pack, run_kernel
from surnn.spec import Cell, LayerSpec, SwitchSpec
from surnn.types import Float32

__all__ = ["BenchLayer", "TimedLayer"]

_CHUNKS = 4
"""Different chunks in turn: one chunk alone would teach the branch predictor its switches."""
_NEARBY_BYTES = 1 << 18
"""Never the first-level cache, which holds inputs and sums."""
_ANY: NDArray[np.uint16] = np.zeros((0, 0), np.uint16)


class BenchLayer:
    """A layer with the kernel that the runtime would choose for it."""

    def __init__(self, weights: LayerWeights, switch: str, rate: float, sessions: int) -> None:
        self.weights = weights
        self.hidden = len(weights["bias_h"])
        group = GROUPS[switch]
        spec = LayerSpec(hidden=self.hidden, switch=SwitchSpec(group=group))
        self.kernel = choose_kernel(spec, rate)
        self.lanes = {"row": 0, "block8": 8, "block16": 16}[self.kernel]
        self.packed: tuple[Any, ...] = pack(self.kernel, cell_weights(weights, ""))
        self.states: Float32 = np.zeros((sessions, self.hidden), np.float32)
        self._rows = np.arange(sessions, dtype=np.int64)
        # GRU nodes have no head, so neither has this.
        self._head: Float32 = np.zeros((0, -(-self.hidden // 16) * 16), np.float32)
        self._bias: Float32 = np.zeros(0, np.float32)

    def run(self, bits: NDArray[np.uint16], x: Float32, out: Float32, logits: Float32) -> None:
        """Advance the states over x [B * T, I], all hidden states into out [B * T, H]."""
        sessions = len(self.states)
        offsets = np.arange(sessions + 1, dtype=np.int64) * (len(x) // sessions)
        states = cell_states(Cell.SUGRU, (self.states,))
        tail = (states, *self.packed, self._head, self._bias, logits, out)
        run_kernel(self.kernel, bits, offsets, self._rows, x, _ANY, tail)


class TimedLayer:
    """A layer with chunks to run, and what they need at least."""

    def __init__(self, weights: LayerWeights, x: Float32, switch: str, rate: float) -> None:
        self.switch, self.rate = switch, rate
        self._batch, self._steps, self._inputs = x.shape
        self._x = x.reshape(-1, self._inputs)
        self.layer = BenchLayer(weights, switch, rate, self._batch)
        hidden = self.layer.hidden
        pattern = open_switches(4000, hidden, GROUPS[switch], rate)
        begins = np.random.default_rng(2).integers(0, 4000 - self._steps, (_CHUNKS, self._batch))
        self._opened = [
            np.concatenate([pattern[b : b + self._steps] for b in chunk]) for chunk in begins
        ]
        self._words = cycle([words(opened) for opened in self._opened])
        # GRU nodes write every state out, so this does too.
        self._out: Float32 = np.zeros((len(self._x), hidden), np.float32)
        self._logits: Float32 = np.zeros((len(self._x), 0), np.float32)

    def run(self) -> None:
        """One chunk of all sessions."""
        self.layer.run(next(self._words), self._x, self._out, self._logits)

    def least_us(self) -> float:
        """Least time of a step: what it needs of the weights read, and multiplied with.

        In whichever order is faster: frame by frame, where all sessions share what is read, or
        session by session, where one session's share may stay in a near cache from frame to frame
        and tiles that did not change need not be computed again.
        """
        return min(self._least_together(), self._least_in_turn())

    def _least_together(self) -> float:
        columns = self._inputs + self.layer.hidden
        needed = multiplied = 0.0
        for opened in self._opened:
            sessions = opened.reshape(self._batch, self._steps, self.layer.hidden)
            needed += float(sessions.any(axis=0).sum()) * 12 * columns
            multiplied += float(opened.sum()) * 6 * columns
        return self._least(needed, multiplied, sharing=self._batch)

    def _least_in_turn(self) -> float:
        lanes, hidden = self.layer.lanes, self.layer.hidden
        needed = 0.0
        for opened in self._opened:
            if not lanes:
                needed += float(opened.sum()) * 12 * (self._inputs + hidden)
                continue
            input_tiles = self.layer.packed[2] // lanes
            for session in opened.reshape(self._batch, self._steps, hidden):
                needed += tiles_to_compute(session, lanes, input_tiles) * 12.0 * lanes**2
        return self._least(needed, needed / 2, sharing=1)

    def _least(self, read: float, flops: float, sharing: int) -> float:
        """Bytes and operations of all chunks, where so many sessions share what is read."""
        steps = len(self._opened) * self._steps
        # Rows that are open in one frame mostly are in the next: what is read again and again is
        # one step's share, which may lie in a nearer cache than the whole layer.
        again = read / steps * sharing / self._batch
        nearby = min(self.layer.packed[0].nbytes, max(again, _NEARBY_BYTES))
        return least_time_us(read / steps, flops / steps, 1 << (int(nearby) - 1).bit_length())

    def max_error(self) -> float:
        """Largest difference of the first session's states from float64, over one chunk."""
        opened = self._opened[0]
        self.layer.states[:] = 0
        self.layer.run(words(opened), self._x, self._out, self._logits)
        steps = self._steps
        start: Float32 = np.zeros(self.layer.hidden, np.float32)
        exact = reference.layer(self._x[:steps], opened[:steps], (start,), self.layer.weights)[0]
        return float(np.abs(self._out[:steps] - exact).max())
