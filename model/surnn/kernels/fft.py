"""Power spectra of 16 real frames at once: frames lie in lanes, samples in rows of 16 numbers.

A real transform of N samples is a complex one of M = N / 2 (even samples real, odd imaginary),
untangled afterwards. Radix 4, decimation in frequency, in place; the last round is radix 2 when M
is an odd power of two. All lanes go through the same instructions, so a frame's spectrum does not
depend on the others.
"""

from __future__ import annotations

import numpy as np

from surnn.kernels.cache import inline
from surnn.kernels.simd import fma, load, load_splat, splat, store, zeros16
from surnn.types import Float32, Int64

__all__ = ["fft_places", "fft_twiddles", "power_spectrum", "transform", "untangle_twiddles"]


def fft_twiddles(size: int) -> Float32:
    """For each round and each j: cos and sin of -2 pi j k / n for k = 1, 2, 3: [rounds * j, 6]."""
    rows, n = [], size
    while n >= 4:
        angle = -2 * np.pi * np.outer(np.arange(n // 4), [1, 2, 3]) / n
        rows.append(np.stack([np.cos(angle), np.sin(angle)], axis=-1).reshape(-1, 6))
        n //= 4
    return np.concatenate([*rows, np.zeros((1, 6))]).astype(np.float32)


def fft_places(size: int) -> Int64:
    """Where `transform` leaves output k: [M]."""
    n, step = size, 1
    index = np.arange(size)
    places: Int64 = np.zeros(size, np.int64)
    while n > 1:
        radix = 4 if n >= 4 else 2
        n //= radix
        places += index // step % radix * n
        step *= radix
    return places


def untangle_twiddles(size: int) -> Float32:
    """cos and sin of -2 pi k / N for k below M: [M, 2]."""
    angle = -np.pi * np.arange(size) / size
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32)


@inline
def _turn(re, im, twiddles, at):
    """(re + i im)(cosine + i sine)"""
    c, s = load_splat(twiddles, at, re), load_splat(twiddles, at + 1, re)
    return re * c - im * s, fma(re, s, im * c)


@inline
def _butterfly(buffer, at, step, twiddles, row):
    """Radix 4 over rows at, at + step, at + 2 step, at + 3 step of complex numbers."""
    like = zeros16()
    ar, ai = load(buffer, at, like), load(buffer, at + 16, like)
    br, bi = load(buffer, at + step, like), load(buffer, at + step + 16, like)
    cr, ci = load(buffer, at + 2 * step, like), load(buffer, at + 2 * step + 16, like)
    dr, di = load(buffer, at + 3 * step, like), load(buffer, at + 3 * step + 16, like)
    sr, si, mr, mi = ar + cr, ai + ci, ar - cr, ai - ci
    tr, ti, nr, ni = br + dr, bi + di, br - dr, bi - di
    store(buffer, at, sr + tr)
    store(buffer, at + 16, si + ti)
    y1r, y1i = mr + ni, mi - nr
    y2r, y2i = sr - tr, si - ti
    y3r, y3i = mr - ni, mi + nr
    if row >= 0:
        y1r, y1i = _turn(y1r, y1i, twiddles, 6 * row + 0)
        y2r, y2i = _turn(y2r, y2i, twiddles, 6 * row + 2)
        y3r, y3i = _turn(y3r, y3i, twiddles, 6 * row + 4)
    store(buffer, at + step, y1r)
    store(buffer, at + step + 16, y1i)
    store(buffer, at + 2 * step, y2r)
    store(buffer, at + 2 * step + 16, y2i)
    store(buffer, at + 3 * step, y3r)
    store(buffer, at + 3 * step + 16, y3i)


@inline
def transform(buffer, size, twiddles):
    """Complex transform in place of buffer [M, 2, 16]; outputs in the order of `fft_places`."""
    like = zeros16()
    n, first = size, 0
    while n >= 4:
        quarter = n // 4
        step = 32 * quarter
        for begin in range(0, size, n):
            _butterfly(buffer, 32 * begin, step, twiddles, -1)
        for j in range(1, quarter):
            for begin in range(0, size, n):
                _butterfly(buffer, 32 * (begin + j), step, twiddles, first + j)
        first += quarter
        n = quarter
    if n == 2:
        for at in range(0, 32 * size, 64):
            ar, ai = load(buffer, at, like), load(buffer, at + 16, like)
            br, bi = load(buffer, at + 32, like), load(buffer, at + 48, like)
            store(buffer, at, ar + br)
            store(buffer, at + 16, ai + bi)
            store(buffer, at + 32, ar - br)
            store(buffer, at + 48, ai - bi)


@inline
def power_spectrum(buffer, size, places, twiddles, power):
    """Four times the power of bins 0 to M, [M + 1, 16], from what `transform` left."""
    like = zeros16()
    re, im = load(buffer, 0, like), load(buffer, 16, like)
    two = splat(np.float32(2.0), like)
    low, high = two * (re + im), two * (re - im)
    store(power, 0, low * low)
    store(power, 16 * size, high * high)
    for k in range(1, size // 2 + 1):
        near, far = 32 * places[k], 32 * places[size - k]
        ar, ai = load(buffer, near, like), load(buffer, near + 16, like)
        br, bi = load(buffer, far, like), load(buffer, far + 16, like)
        er, ei, dr, di = ar + br, ai - bi, ar - br, ai + bi
        c, s = load_splat(twiddles, 2 * k, like), load_splat(twiddles, 2 * k + 1, like)
        qr, qi = fma(di, c, dr * s), fma(di, s, like - dr * c)
        xr, xi, yr, yi = er + qr, ei + qi, er - qr, ei - qi
        store(power, 16 * k, fma(xr, xr, xi * xi))
        store(power, 16 * (size - k), fma(yr, yr, yi * yi))
