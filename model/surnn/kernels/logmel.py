"""Streaming log-mel energies of many sessions: `surnn.frontend.log_mel`, 16 frames at once.

Frames of different sessions share a vector; each lane is computed alone, so the numbers depend
neither on the batch nor on how a stream was cut into chunks.
"""

from __future__ import annotations

import numpy as np

from surnn.frontend import LOG_FLOOR
from surnn.kernels.activations import log
from surnn.kernels.cache import inline, kernel
from surnn.kernels.fft import power_spectrum, transform
from surnn.kernels.head import copy_flat, numbers, unset_numbers
from surnn.kernels.shuffles import transpose16
from surnn.kernels.simd import fma, load, load_splat, splat, store, zeros16

__all__ = ["log_mel_batch"]

_FLOOR = np.float32(LOG_FLOOR)


@inline
def _load_windows(samples, starts, window, buffer):
    """16 windows side by side, their means removed, times the window function."""
    like = zeros16()
    size = len(window)
    for i in range(0, size, 16):
        transpose16(samples, starts, i, buffer, 16 * i)
    # The last transpose may have read beyond the windows.
    for i in range(16 * size, len(buffer), 16):
        store(buffer, i, like)
    s0, s1, s2, s3 = like, like, like, like
    for i in range(0, 16 * size, 64):
        s0, s1 = s0 + load(buffer, i, like), s1 + load(buffer, i + 16, like)
        s2, s3 = s2 + load(buffer, i + 32, like), s3 + load(buffer, i + 48, like)
    mean = ((s0 + s1) + (s2 + s3)) * splat(np.float32(1.0 / size), like)
    for i in range(size):
        centred = load(buffer, 16 * i, like) - mean
        store(buffer, 16 * i, centred * load_splat(window, i, like))


@inline
def _bands(power, edges, weights, offset, scale, energies):
    """Scaled log energies [F, 16] of the bands [edges[b, 0], edges[b, 1])."""
    like = zeros16()
    at = 0
    for band in range(len(edges)):
        total = like
        for k in range(edges[band, 0], edges[band, 1]):
            total = fma(load(power, 16 * k, like), load_splat(weights, at, like), total)
            at += 1
        energy = log(total + splat(_FLOOR, like))
        store(energies, 16 * band, (energy + splat(offset, like)) * splat(scale, like))


@inline
def _write(energies, starts, frame, count, turned, features):
    """features[frame + i] = lane i of the energies, for `count` frames."""
    width = features.shape[1]
    like = zeros16()
    for band in range(0, width, 16):
        for j in range(16):
            starts[j] = 16 * (band + j)
        transpose16(energies, starts, 0, turned, 0)
        for i in range(count):
            if band + 16 <= width:
                store(features, (frame + i) * width + band, load(turned, 16 * i, like))
            else:
                for j in range(width - band):
                    features[frame + i, band + j] = turned[16 * i + j]


@kernel
def log_mel_batch(
    frames, offsets, rows, context, window, hop, twiddles, places, untangle, edges, weights,
    offset, scale, features,
):  # fmt: skip
    """Features of the frames of all sessions; moves each session's context on.

    Args:
        frames: samples of all sessions, one after the other, float32 [N, hop].
        offsets: each session's first of the N frames, and N: int64 [B + 1].
        rows: each session's row of `context`, [B].
        context: samples before the next frame, float32 [capacity, C], updated in place.
        window: float32 [C + hop], half of `surnn.frontend.hann_window`.
        hop: samples per frame.
        twiddles, places, untangle: tables of `surnn.kernels.fft` for M = n_fft / 2.
        edges: first bin and end of each band, int64 [F, 2].
        weights: weights of the bands' bins, one band after the other, float32.
        offset, scale: added to the log, and multiplied with the sum.
        features: float32 [N, F], filled.
    """
    size, past = len(places), context.shape[1]
    width = features.shape[1]
    sessions, total = len(rows), len(features)
    # The last lanes of a window's last transpose read up to 15 samples too far.
    samples = unset_numbers(sessions * past + total * hop + 16)
    begins = np.zeros((total + 15) // 16 * 16, np.int64)
    at = 0
    for b in range(sessions):
        first, count = offsets[b], offsets[b + 1] - offsets[b]
        copy_flat(context, rows[b] * past, samples, at, past)
        copy_flat(frames, first * hop, samples, at + past, count * hop)
        for i in range(count):
            begins[first + i] = at + i * hop
        at += count * hop
        copy_flat(samples, at, context, rows[b] * past, past)
        at += past
    buffer = unset_numbers(32 * size)
    power = unset_numbers(16 * (size + 1))
    energies = numbers((width + 15) // 16 * 256)
    turned, starts = numbers(256), np.zeros(16, np.int64)
    for frame in range(0, total, 16):
        starts[:] = begins[frame : frame + 16]
        _load_windows(samples, starts, window, buffer)
        transform(buffer, size, twiddles)
        power_spectrum(buffer, size, places, untangle, power)
        _bands(power, edges, weights, offset, scale, energies)
        _write(energies, starts, frame, min(16, total - frame), turned, features)
