from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surnn.errors import InvalidShape, PoolFull, StaleSlot
from surnn.spec import StateSpec
from surnn.state import Slot, StatePool

STATES = (
    StateSpec(name="t", shape=(), dtype="int64"),
    StateSpec(name="h0", shape=(3,)),
    StateSpec(name="m", shape=(2, 2)),
)


@pytest.fixture
def pool() -> StatePool:
    return StatePool(STATES, 4)


def states(batch: tuple[int, ...], value: float) -> dict[str, np.ndarray]:
    return {s.name: np.full(batch + s.shape, value, s.dtype) for s in STATES}


def test_a_pool_is_rows_of_zeros(pool: StatePool) -> None:
    assert {n: (a.shape, str(a.dtype)) for n, a in pool.arrays.items()} == {
        "t": ((4,), "int64"),
        "h0": ((4, 3), "float32"),
        "m": ((4, 2, 2), "float32"),
    }
    assert len(pool) == 0


def test_a_full_pool_refuses(pool: StatePool) -> None:
    slots = [pool.acquire() for _ in range(4)]
    assert len({slot.index for slot in slots}) == len(pool) == 4
    with pytest.raises(PoolFull, match="all 4 session slots are taken"):
        pool.acquire()
    pool.release(slots[2])
    assert pool.acquire().index == slots[2].index


def test_a_new_tenant_starts_at_zero(pool: StatePool) -> None:
    slot = pool.acquire()
    pool.write(slot, states((), 7))
    pool.release(slot)
    again = pool.acquire()
    assert again.index == slot.index
    assert not any(array.any() for array in pool.read(again).values())


def test_releasing_twice_does_not_free_the_next_tenant(pool: StatePool) -> None:
    old = pool.acquire()
    pool.release(old)
    new = pool.acquire()
    pool.release(old)
    assert pool.holds(new)
    assert not pool.holds(old)
    assert len(pool) == 1
    assert len({pool.acquire().index for _ in range(3)} | {new.index}) == 4


def test_a_stale_slot_reaches_nothing(pool: StatePool) -> None:
    old = pool.acquire()
    pool.release(old)
    new = pool.acquire()
    message = f"slot {old.index} of generation {old.generation} is not held"
    for use in (
        lambda: pool.read(old),
        lambda: pool.write(old, states((), 9)),
        lambda: pool.gather([new, old]),
        lambda: pool.scatter([new, old], states((2,), 9)),
    ):
        with pytest.raises(StaleSlot, match=message):
            use()
    assert not any(array.any() for array in pool.arrays.values())


def test_a_slot_of_another_pool_is_not_held(pool: StatePool) -> None:
    other = StatePool(STATES, 4)
    theirs, ours = other.acquire(), pool.acquire()
    assert theirs.index == ours.index
    assert not pool.holds(theirs)
    pool.release(theirs)
    assert pool.holds(ours)


@pytest.mark.parametrize("slot", [Slot(-1, 1), Slot(4, 1), Slot(0, 0), Slot(0, -1)])
def test_made_up_slots_are_not_held(pool: StatePool, slot: Slot) -> None:
    assert not pool.holds(slot)
    with pytest.raises(StaleSlot):
        pool.rows([slot])


def test_a_session_cannot_be_twice_in_a_batch(pool: StatePool) -> None:
    slot = pool.acquire()
    with pytest.raises(InvalidShape, match="a session appears twice in one batch"):
        pool.gather([slot, slot])


def test_scatter_writes_these_rows_and_no_other(pool: StatePool) -> None:
    slots = [pool.acquire() for _ in range(4)]
    for value, slot in enumerate(slots, start=100):
        pool.write(slot, states((), value))
    new = states((2,), 0)
    new["h0"][:] = [[1, 2, 3], [4, 5, 6]]
    pool.scatter([slots[3], slots[0]], new)
    np.testing.assert_array_equal(pool.read(slots[3])["h0"], [1, 2, 3])
    np.testing.assert_array_equal(pool.read(slots[0])["h0"], [4, 5, 6])
    for canary in (1, 2):
        assert all((a == 100 + canary).all() for a in pool.read(slots[canary]).values())


def test_gather_and_read_give_copies(pool: StatePool) -> None:
    slot = pool.acquire()
    for copy in (pool.read(slot), pool.gather([slot])):
        for array in copy.values():
            array[...] = 5
    assert not any(array.any() for array in pool.arrays.values())


def test_a_snapshot_restores_bit_for_bit(pool: StatePool) -> None:
    slot, other = pool.acquire(), pool.acquire()
    value = {
        "t": np.array(2**62 - 1),
        "h0": np.array([1e-40, -0.0, np.pi], np.float32),
        "m": np.array([[1, 2], [3, 4]], np.float32),
    }
    pool.write(slot, value)
    snapshot = pool.read(slot)
    pool.write(slot, states((), 3))
    pool.write(other, snapshot)
    for name, array in pool.read(other).items():
        assert array.tobytes() == value[name].tobytes()
        assert (array.shape, array.dtype) == (value[name].shape, value[name].dtype)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"h0": np.zeros(4, np.float32)}, r"state 'h0' is float32 \[4\], expected float32 \[3\]"),
        ({"h0": np.zeros(1, np.float32)}, r"state 'h0' is float32 \[1\]"),
        ({"h0": np.zeros(3)}, r"state 'h0' is float64 \[3\], expected float32 \[3\]"),
        ({"t": np.zeros((), np.float32)}, r"state 't' is float32 \[\], expected int64 \[\]"),
        ({"m": None}, r"states are \['h0', 't'\], expected \['h0', 'm', 't'\]"),
        ({"x": np.zeros(1)}, r"states are \['h0', 'm', 't', 'x'\], expected"),
    ],
)
def test_a_snapshot_that_does_not_fit_changes_nothing(
    pool: StatePool, change: dict[str, np.ndarray | None], message: str
) -> None:
    slot = pool.acquire()
    merged = states((), 9) | change
    snapshot = {name: array for name, array in merged.items() if array is not None}
    with pytest.raises(InvalidShape, match=message):
        pool.write(slot, snapshot)
    assert not any(array.any() for array in pool.arrays.values())


def test_scatter_does_not_broadcast_one_state_to_many(pool: StatePool) -> None:
    slots = [pool.acquire(), pool.acquire()]
    with pytest.raises(InvalidShape, match=r"expected int64 \[2\]"):
        pool.scatter(slots, states((1,), 9))
    assert not any(array.any() for array in pool.arrays.values())


@given(st.lists(st.integers(0, 5), max_size=60))
def test_any_order_of_acquire_and_release(steps: list[int]) -> None:
    pool, held = StatePool(STATES, 3), list[Slot]()
    for step in steps:
        if step >= len(held):
            if len(held) < 3:
                held.append(pool.acquire())
            else:
                with pytest.raises(PoolFull):
                    pool.acquire()
        else:
            pool.release(held.pop(step))
        assert len(pool) == len(held)
        assert all(pool.holds(slot) for slot in held)
        assert len({slot.index for slot in held}) == len(held)
