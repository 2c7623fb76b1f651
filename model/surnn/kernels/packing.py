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
    """[3, H, inputs + hidden]: columns of x, then of h, each padded with zeros."""
    size, width = weight_h.shape[1], weight_x.shape[1]
    joined = np.zeros((3, size, inputs + hidden), np.float32)
    joined[:, :, :width] = weight_x.reshape(3, size, width)
    joined[:, :, inputs : inputs + size] = weight_h.reshape(3, size, size)
    return joined


def _biases(bias_x: Float32, bias_h: Float32) -> Float32:
    """[4, H]: z, r, n of x, n of h."""
    return np.concatenate([bias_x.reshape(3, -1), bias_h[None]])


def pack_rows(
    weight_x: Float32, weight_h: Float32, bias_x: Float32, bias_h: Float32
) -> tuple[Float32, Float32, int]:
    """Weights [H, 3, X + H'], biases [H, 4] and X for `surnn.kernels.rows`."""
    inputs, hidden = padded(weight_x.shape[1], 16), padded(weight_h.shape[1], 16)
    joined = _columns(weight_x, weight_h, inputs, hidden)
    return aligned(joined.transpose(1, 0, 2)), aligned(_biases(bias_x, bias_h).T), inputs


def pack_blocks(
    weight_x: Float32, weight_h: Float32, bias_x: Float32, bias_h: Float32, lanes: int
) -> tuple[Float32, Float32, int]:
    """Weights [blocks, tiles, L, 3, L], biases [blocks, 4, L] and X for `surnn.kernels.blocks`."""
    size = weight_h.shape[1]
    inputs, hidden = padded(weight_x.shape[1], lanes), padded(size, lanes)
    joined = np.zeros((3, hidden, inputs + hidden), np.float32)
    joined[:, :size] = _columns(weight_x, weight_h, inputs, hidden)
    biases = np.zeros((4, hidden), np.float32)
    biases[:, :size] = _biases(bias_x, bias_h)
    # gate, block, lane, tile, column → block, tile, column, gate, lane
    tiles = joined.reshape(3, hidden // lanes, lanes, -1, lanes).transpose(1, 3, 4, 0, 2)
    return aligned(tiles), aligned(biases.reshape(4, -1, lanes).transpose(1, 0, 2)), inputs


def pack_head(weight: Float32) -> Float32:
    """One layer's part of the head, [C, H] padded with zeros to [C', H']."""
    labels, hidden = weight.shape
    packed = np.zeros((padded(labels, 4), padded(hidden, 16)), np.float32)
    packed[:labels, :hidden] = weight
    return aligned(packed)
