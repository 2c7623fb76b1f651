"""Small pieces that the layer kernels share."""

from __future__ import annotations

import numpy as np

from surnn.kernels.cache import inline, inline_with_arrays
from surnn.kernels.shuffles import store_sums
from surnn.kernels.simd import fma, load, store, zeros8, zeros16

__all__ = [
    "add_head",
    "add_head_at",
    "copy_flat",
    "copy_padded",
    "copy_row",
    "numbers",
    "unset_numbers",
]


@inline_with_arrays
def numbers(count):
    """Zeros that begin on a cache line: a vector that straddles two costs twice."""
    buffer = np.zeros(count + 16, np.float32)
    begin = (-buffer.ctypes.data % 64) // 4
    return buffer[begin : begin + count]


@inline_with_arrays
def unset_numbers(count):
    """The same, for who writes before it reads: clearing takes longer than some chunks."""
    buffer = np.empty(count + 16, np.float32)
    begin = (-buffer.ctypes.data % 64) // 4
    return buffer[begin : begin + count]


@inline
def copy_padded(source, row, v, begin):
    """v[begin : begin + width] = source[row], whose width need not be a multiple of 16."""
    width = source.shape[1]
    whole = width // 16 * 16
    like = zeros16()
    for k in range(0, whole, 16):
        store(v, begin + k, load(source, row * width + k, like))
    if width - whole >= 8:
        store(v, begin + whole, load(source, row * width + whole, zeros8()))
        whole += 8
    for k in range(whole, width):
        v[begin + k] = source[row, k]


@inline
def copy_row(v, begin, target, row):
    """target[row] = v[begin :]"""
    width = target.shape[1]
    whole = width // 16 * 16
    like = zeros16()
    for k in range(0, whole, 16):
        store(target, row * width + k, load(v, begin + k, like))
    for k in range(whole, width):
        target[row, k] = v[begin + k]


@inline
def add_head_at(head, bias, v, begin, part, place):
    """part[place :] = bias + head @ v[begin :], four rows at a time."""
    like = zeros16()
    width = head.shape[1]
    for c in range(0, len(bias), 4):
        s0, s1, s2, s3 = like, like, like, like
        for k in range(0, width, 16):
            h = load(v, begin + k, like)
            s0 = fma(load(head, c * width + k, like), h, s0)
            s1 = fma(load(head, (c + 1) * width + k, like), h, s1)
            s2 = fma(load(head, (c + 2) * width + k, like), h, s2)
            s3 = fma(load(head, (c + 3) * width + k, like), h, s3)
        store_sums(part, place + c, s0, s1, s2, s3, bias, c)


@inline
def add_head(head, bias, v, begin, part):
    """part = bias + head @ v[begin :]"""
    add_head_at(head, bias, v, begin, part, 0)


@inline
def copy_flat(source, begin, target, place, count):
    """target[place : place + count] = source[begin : begin + count], in memory order."""
    whole = count // 16 * 16
    like = zeros16()
    for k in range(0, whole, 16):
        store(target, place + k, load(source, begin + k, like))
    flat_source, flat_target = source.reshape(-1), target.reshape(-1)
    for k in range(whole, count):
        flat_target[place + k] = flat_source[begin + k]
