"""Weights of a saved network in the order in which the kernels read them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surnn.types import Float32

__all__ = ["aligned", "pack_blocks", "pack_head", "pack_rows", "padded"]

_LINE = 64


def padded(size: int, multiple: int) -> int:
    """The next multiple at or above `size`."""
    return -(-size // multiple) * multiple


def aligned(array: NDArray[np.float32]) -> Float32:
    """A copy that starts on a cache line: a vector load that straddles two costs twice."""
    buffer = np.zeros(array.nbytes + _LINE, np.uint8)
    begin = -buffer.ctypes.data % _LINE
    copy = buffer[begin : begin + array.nbytes].view(np.float32).reshape(array.shape)
    copy[...] = array
    return copy


def _columns(weight_x: Float32, weight_h: Float32, inputs: int, hidden: int) -> Float32:
    """[G, H, inputs + hidden]: columns of x, then of h, each padded with zeros."""
    size, width = weight_h.shape[1], weight_x.shape[1]
    gates = len(weight_h) // size
    joined = np.zeros((gates, size, inputs + hidden), np.float32)
    joined[:, :, :width] = weight_x.reshape(gates, size, width)
    joined[:, :, inputs : inputs + size] = weight_h.reshape(gates, size, size)
    return joined


def _biases(bias_x: Float32, bias_h: Float32 | None, hidden: int) -> Float32:
    """[R, H]: the gates', and suGRU's candidate's over h."""
    of_x = bias_x.reshape(-1, hidden)
    return of_x if bias_h is None else np.concatenate([of_x, bias_h[None]])


def pack_rows(
    weight_x: Float32, weight_h: Float32, bias_x: Float32, bias_h: Float32 | None = None
) -> tuple[Float32, Float32, int]:
    """Weights [H, G, X + H'], biases [H, 4] and X for `surnn.kernels.rows`."""
    size = weight_h.shape[1]
    inputs, hidden = padded(weight_x.shape[1], 16), padded(size, 16)
    joined = _columns(weight_x, weight_h, inputs, hidden)
    biases = np.zeros((size, 4), np.float32)
    own = _biases(bias_x, bias_h, size)
    biases[:, : len(own)] = own.T
    return aligned(joined.transpose(1, 0, 2)), aligned(biases), inputs


def pack_blocks(
    weight_x: Float32,
    weight_h: Float32,
    bias_x: Float32,
    bias_h: Float32 | None = None,
    *,
    lanes: int,
) -> tuple[Float32, Float32, int]:
    """Weights [blocks, tiles, L L / 16, G, 16], biases [blocks, R, 16] and X.

    For `surnn.kernels.blocks`, which says in what order tiles and biases lie.
    """
    size = weight_h.shape[1]
    inputs, hidden = padded(weight_x.shape[1], lanes), padded(size, lanes)
    columns = _columns(weight_x, weight_h, inputs, hidden)
    gates, together = len(columns), 16 // lanes
    joined = np.zeros((gates, hidden, inputs + hidden), np.float32)
    joined[:, :size] = columns
    # gate, block, neuron, tile, step, column → block, tile, step, gate, neuron, column
    tiles = joined.reshape(gates, hidden // lanes, lanes, -1, lanes // together, together)
    tiles = tiles.transpose(1, 3, 4, 0, 2, 5)
    own = _biases(bias_x, bias_h, size)
    biases = np.zeros((len(own), hidden, together), np.float32)
    biases[:, :size, 0] = own
    return (
        aligned(tiles.reshape(*tiles.shape[:4], 16)),
        aligned(biases.reshape(len(own), -1, 16).transpose(1, 0, 2)),
        inputs,
    )


def pack_head(weight: Float32) -> Float32:
    """One layer's part of the head, [C, H] padded with zeros to [C', H']."""
    labels, hidden = weight.shape
    packed = np.zeros((padded(labels, 4), padded(hidden, 16)), np.float32)
    packed[:labels, :hidden] = weight
    return aligned(packed)
