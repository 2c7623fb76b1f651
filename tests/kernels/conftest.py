"""Random layers and switch patterns for the kernels' tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from surnn.kernels.batches import batch_layer8, batch_layer16
from surnn.kernels.blocks import block_layer8, block_layer16
from surnn.kernels.cells import SuGRU, SuLSTM, SuRNN
from surnn.kernels.packing import pack_blocks, pack_head, pack_rows
from surnn.kernels.row_batches import row_batch_layer
from surnn.kernels.rows import row_layer

CANARY = 77.0
ANY = np.zeros((0, 0), np.uint16)
STATES: dict[str, Any] = {"surnn": SuRNN, "sugru": SuGRU, "sulstm": SuLSTM}
GATES = {"surnn": 1, "sugru": 3, "sulstm": 4}


def pack_words(opened: np.ndarray) -> np.ndarray:
    """Open neurons [N, H] as the kernels' bits [N, ceil(H / 16)]."""
    frames, hidden = opened.shape
    wide = np.zeros((frames, -(-hidden // 16) * 16), bool)
    wide[:, :hidden] = opened
    return np.packbits(wide, axis=1, bitorder="little").view(np.uint16)


@dataclass
class Result:
    """What a kernel left behind."""

    states: np.ndarray
    """All states of each session, one kind after the other: [B, H] or [B, 2 H]."""
    out: np.ndarray
    logits: np.ndarray


class RandomLayer:
    """Weights in PyTorch's usual range, times `gain`."""

    def __init__(
        self, inputs: int, hidden: int, gain: float = 1.0, seed: int = 0, cell: str = "sugru"
    ) -> None:
        rng = np.random.default_rng(seed)
        bound = gain / np.sqrt(hidden)

        def uniform(*shape: int) -> np.ndarray:
            return rng.uniform(-bound, bound, shape).astype(np.float32)

        self.hidden, self.cell, gates = hidden, cell, GATES[cell]
        self.weights = {
            "weight_x": uniform(gates * hidden, inputs),
            "weight_h": uniform(gates * hidden, hidden),
            "bias_x": uniform(gates * hidden),
        }
        if cell == "sugru":
            self.weights["bias_h"] = uniform(hidden)
        self.head = uniform(3, hidden)
        self.kinds = len(STATES[cell]._fields)

    def start(self, sessions: int, seed: int = 2) -> np.ndarray:
        """States to begin with."""
        rng = np.random.default_rng(seed)
        size = self.kinds * self.hidden
        return np.tanh(rng.standard_normal((sessions, size))).astype(np.float32)

    def run(
        self,
        kernel: str,
        x: np.ndarray,
        opened: np.ndarray,
        h: np.ndarray,
        offsets: list[int],
        below: np.ndarray = ANY,
    ) -> Result:
        """Run a kernel over sessions whose states h lie in every other row of a pool."""
        rows = np.arange(len(h), dtype=np.int64) * 2 + 1
        pools = []
        for part in np.split(h, self.kinds, axis=1):
            pool = np.full((2 * len(h) + 1, self.hidden), CANARY, np.float32)
            pool[rows] = part
            pools.append(pool)
        out = np.zeros((len(x), self.hidden), np.float32)
        logits = np.zeros((len(x), 4), np.float32)
        head_bias = np.array([1, 2, 3, 0], np.float32)
        lanes = {"block8": 8, "block16": 16, "batch8": 8, "batch16": 16}.get(kernel)
        packed = (
            pack_blocks(*self.weights.values(), lanes=lanes)
            if lanes
            else pack_rows(*self.weights.values())
        )
        cell = STATES[self.cell](*pools)
        tail = (cell, *packed, pack_head(self.head), head_bias, logits, out)
        start = (pack_words(opened), np.array(offsets, np.int64), rows, x)
        if not lanes:
            (row_layer if kernel == "row" else row_batch_layer)(*start, *tail)
        elif kernel.startswith("batch"):
            (batch_layer8 if lanes == 8 else batch_layer16)(*start, *tail)
        else:
            (block_layer8 if lanes == 8 else block_layer16)(*start, below, *tail)
        for pool in pools:
            assert (pool[::2] == CANARY).all(), "a row of no session was written"
        return Result(np.concatenate([p[rows] for p in pools], axis=1), out, logits[:, :3])


@pytest.fixture
def random_layer() -> type[RandomLayer]:
    return RandomLayer


def switch_pattern(frames: int, hidden: int, group: int, rate: float, seed: int = 0) -> np.ndarray:
    """Open neurons [T, H]: each switch stays for a few frames, as trained ones do."""
    rng = np.random.default_rng(seed)
    runs = rng.random((frames // 3 + 1, -(-hidden // group))) < rate
    neurons = np.repeat(np.repeat(runs, group, axis=1)[:, :hidden], 3, axis=0)[:frames]
    assert neurons.shape == (frames, hidden)
    return neurons


@pytest.fixture
def pattern() -> Callable[..., np.ndarray]:
    return switch_pattern


@pytest.fixture
def words() -> Callable[[np.ndarray], np.ndarray]:
    return pack_words
