"""The clock of the switches, on an integer grid: exact for every frame number.

A neuron's clock (arXiv 2603.02226, the gate equation) is a sum of sinusoids in the frame number t,

    a_i(t) = b_i + sum_k alpha_ik sin(omega_k t + phi_ik)          switch open: a_i(t) > 0

In float32, sin(omega t) loses its phase within a day of 10 ms frames. Here the angle is an integer
that wraps instead:

    inc_k = round(omega_k / 2 pi * 2^32)        phase_k(t) = (t * inc_k) mod 2^32

and the sine comes from a table of 4096 integers, read at the phase's upper 12 bits. With
`alpha sin(omega t + phi) = A sin(omega t) + B cos(omega t)` and integer A, B, every product and
partial sum is a whole number below 2^24, so float32 arithmetic is exact in any order and each
runtime gets the same switches, bit for bit, for t up to 2^62.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surnn.types import Int64

__all__ = [
    "AMPLITUDE_LIMIT",
    "AMPLITUDE_ONE",
    "CLOCK_ONE",
    "PHASE_BITS",
    "SINE_PEAK",
    "SINE_TABLE",
    "TABLE_SIZE",
    "clock_basis",
    "increments",
]

PHASE_BITS = 32
TABLE_SIZE = 4096
SINE_PEAK = 511
SINE_TABLE: Int64 = np.round(
    SINE_PEAK * np.sin(2 * np.pi * np.arange(TABLE_SIZE) / TABLE_SIZE)
).astype(np.int64)
"""round(511 sin) over one turn."""

AMPLITUDE_ONE = 256
"""The integer that stands for an amplitude of 1.0."""
AMPLITUDE_LIMIT = 255
"""Largest integer amplitude: 2K <= 64 products of 511 * 255 stay below 2^23."""
CLOCK_ONE = SINE_PEAK * AMPLITUDE_ONE
"""The integer that stands for a(t) = 1.0."""


def increments(frequencies: int, min_period: float, max_period: float) -> Int64:
    """Phase steps per frame [K] for periods spaced evenly in log, shortest first.

    Periods in frames. Defines omega: the clock is exact by definition, not by approximation.
    """
    periods = np.geomspace(min_period, max_period, frequencies)
    return np.round(2.0**PHASE_BITS / periods).astype(np.int64)


def clock_basis(t: NDArray[np.int64], inc: Int64) -> Int64:
    """Integer sines and cosines [..., 2K] of the frame numbers t [...]."""
    # The product wraps modulo 2^64, which leaves its lower 32 bits as they should be.
    phase = (t[..., None] * inc) & (2**PHASE_BITS - 1)
    index = phase >> (PHASE_BITS - 12)
    quarter = TABLE_SIZE // 4
    sines = SINE_TABLE[index]
    cosines = SINE_TABLE[(index + quarter) & (TABLE_SIZE - 1)]
    return np.concatenate([sines, cosines], axis=-1)
