"""Switch patterns as a trained clock makes them, at exactly the wanted open rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["GROUPS", "open_switches", "tiles_to_compute", "words"]

GROUPS = {"neuron": 1, "group8": 8, "group16": 16}
"""Neurons that share one switch."""

_PERIODS = np.geomspace(6, 48, 8)


def open_switches(
    frames: int, hidden: int, group: int, rate: float, seed: int = 0
) -> NDArray[np.bool_]:
    """Open neurons [T, H]: sums of 8 sinusoids above each switch's own threshold."""
    rng = np.random.default_rng(seed)
    count = hidden // group
    angle = 2 * np.pi * np.arange(frames)[:, None] / _PERIODS  # [T, 8]
    cosine, sine = rng.standard_normal((2, len(_PERIODS), count))
    wave = np.cos(angle) @ cosine + np.sin(angle) @ sine
    if rate >= 1:
        return np.ones((frames, hidden), np.bool_)
    opened: NDArray[np.bool_] = np.repeat(wave > np.quantile(wave, 1 - rate, axis=0), group, axis=1)
    return opened


def words(opened: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Open neurons [N, H] as the kernels read them, [N, ceil(H / 16)]."""
    frames, hidden = opened.shape
    wide = np.zeros((frames, -(-hidden // 16) * 16), np.bool_)
    wide[:, :hidden] = opened
    packed: NDArray[np.uint16] = np.packbits(wide, axis=1, bitorder="little").view(np.uint16)
    return packed


def tiles_to_compute(opened: NDArray[np.bool_], lanes: int, input_tiles: int) -> int:
    """Tiles of one session's chunk whose columns changed since their rows were last open.

    The least that a block kernel which starts the chunk with nothing kept has to compute.
    """
    blocks: NDArray[np.bool_] = np.any(opened.reshape(len(opened), -1, lanes), axis=2)
    written = np.full(blocks.shape[1], -1)
    last = np.full(blocks.shape[1], -2)
    total = 0
    for t, row in enumerate(blocks):
        for block in np.flatnonzero(row):
            total += input_tiles + int((written >= last[block]).sum())
            last[block] = t
        written[row] = t
    return total
