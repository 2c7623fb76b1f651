from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surnn.clock import (
    AMPLITUDE_LIMIT,
    CLOCK_ONE,
    PHASE_BITS,
    SINE_PEAK,
    SINE_TABLE,
    TABLE_SIZE,
    clock_basis,
    increments,
)

INC = increments(16, 2.0, 200.0)


def exact(t: int) -> list[int]:
    """The basis by its definition, in Python's integers of any size."""
    phases = [(t * inc) % 2**PHASE_BITS >> (PHASE_BITS - 12) for inc in INC.tolist()]
    table = SINE_TABLE.tolist()
    sines = [table[p] for p in phases]
    return sines + [table[(p + TABLE_SIZE // 4) % TABLE_SIZE] for p in phases]


@given(st.integers(0, 2**62))
def test_exact_for_every_frame_number(t: int) -> None:
    assert clock_basis(np.array([t]), INC)[0].tolist() == exact(t)


@pytest.mark.parametrize("t", [0, 1, 2**31, 2**32 - 1, 2**53 + 1, 10**10, 2**62 - 1, 2**62])
def test_exact_at_the_edges(t: int) -> None:
    assert clock_basis(np.array(t), INC).tolist() == exact(t)


def test_shapes() -> None:
    assert clock_basis(np.zeros((3, 5), np.int64), INC).shape == (3, 5, 32)
    assert clock_basis(np.zeros((0,), np.int64), INC).shape == (0, 32)


def test_the_basis_is_the_sine_and_cosine_of_the_period() -> None:
    t = np.arange(2000)
    turn = np.outer(t, INC / 2.0**PHASE_BITS) * 2 * np.pi
    expected = np.concatenate([np.sin(turn), np.cos(turn)], axis=1) * SINE_PEAK
    # The table has 4096 places, read without rounding up: less than one step beside.
    step = SINE_PEAK * 2 * np.pi / TABLE_SIZE + 0.5
    assert np.abs(clock_basis(t, INC) - expected).max() <= step


def test_periods_are_spaced_from_short_to_long() -> None:
    periods = 2.0**PHASE_BITS / INC
    assert periods[0] == pytest.approx(2.0)
    assert periods[-1] == pytest.approx(200.0)
    assert np.ptp(np.diff(np.log(periods))) < 1e-6
    np.testing.assert_array_equal(increments(1, 4.0, 9.0), [2**30])


def test_sums_stay_exact_in_float32() -> None:
    frequencies = 32  # the most that a spec allows
    assert 2 * frequencies * SINE_PEAK * AMPLITUDE_LIMIT < 2**23
    # One more product and the bias of a closed switch still fit float32's 24 bits.
    assert 2 * frequencies * SINE_PEAK * AMPLITUDE_LIMIT + CLOCK_ONE < 2**24
    basis = clock_basis(np.arange(5000), increments(frequencies, 2.0, 200.0))
    amplitudes = np.full(2 * frequencies, AMPLITUDE_LIMIT)
    amplitudes[::2] *= -1
    whole = basis @ amplitudes
    for order in (slice(None), slice(None, None, -1)):
        single = basis[:, order].astype(np.float32) @ amplitudes[order].astype(np.float32)
        np.testing.assert_array_equal(single.astype(np.int64), whole)


def test_the_table_is_symmetric() -> None:
    assert SINE_TABLE.dtype == np.int64
    half = TABLE_SIZE // 2
    np.testing.assert_array_equal(SINE_TABLE[:half], -SINE_TABLE[half:])
    assert (SINE_TABLE.max(), SINE_TABLE.min()) == (SINE_PEAK, -SINE_PEAK)
