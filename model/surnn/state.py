"""Session states side by side: one array per kind of state, one row per session.

A session holds a `Slot`: a row number and the generation of its tenancy. Each tenancy of any
pool has a generation of its own, so a late result, a repeated release, a cancelled task or a slot
of another pool can never reach a tenant's state.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surnn.errors import InvalidShape, PoolFull, StaleSlot
from surnn.spec import StateSpec

__all__ = ["Pool", "Slot", "StateArrays", "StatePool"]

StateArrays = dict[str, NDArray[np.generic]]

_generations = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Slot:
    """One tenancy of one row of a pool."""

    index: int
    generation: int


class Pool(ABC):
    """Rows for up to `capacity` sessions, wherever they lie: who holds which, and their content.

    Not thread-safe: one worker owns a pool.
    """

    def __init__(self, states: Sequence[StateSpec], capacity: int) -> None:
        self.capacity = capacity
        self.states = tuple(states)
        self._tenants = [0] * capacity
        """Generation of the tenant of each row; 0: the row is free."""
        self._free = list(range(capacity - 1, -1, -1))

    def __len__(self) -> int:
        return self.capacity - len(self._free)

    def acquire(self) -> Slot:
        """Take a free row, set to zeros. Raises `PoolFull` when there is none."""
        if not self._free:
            raise PoolFull(f"all {self.capacity} session slots are taken")
        index = self._free[-1]
        self._clear(index)
        self._free.pop()
        slot = Slot(index, next(_generations))
        self._tenants[index] = slot.generation
        return slot

    def release(self, slot: Slot) -> None:
        """Give the row back. Releasing twice is harmless: the second call does nothing."""
        if self.holds(slot):
            self._tenants[slot.index] = 0
            self._free.append(slot.index)

    def holds(self, slot: Slot) -> bool:
        """Is this tenancy still running?"""
        return 0 <= slot.index < self.capacity and self._tenants[slot.index] == slot.generation > 0

    def rows(self, slots: Sequence[Slot]) -> NDArray[np.intp]:
        """Row numbers [B] of live slots. Raises `StaleSlot`, or `InvalidShape` on repeats."""
        for slot in slots:
            if not self.holds(slot):
                raise StaleSlot(
                    f"slot {slot.index} of generation {slot.generation} is not held, "
                    "expected a slot that was acquired here and not released"
                )
        indices = [slot.index for slot in slots]
        rows: NDArray[np.intp] = np.array(indices, dtype=np.intp)
        if len(set(indices)) != len(indices):
            raise InvalidShape("a session appears twice in one batch, expected once")
        return rows

    def scatter(self, slots: Sequence[Slot], new: Mapping[str, NDArray[np.generic]]) -> None:
        """Write states [B, *shape] back into these slots.

        Raises `StaleSlot` or `InvalidShape` before any state changes.
        """
        rows = self.rows(slots)
        self._check(new, (len(rows),))
        self._put(rows, new)

    def gather(self, slots: Sequence[Slot]) -> StateArrays:
        """Copies of the states of these slots, each [B, *shape]."""
        return self._take(self.rows(slots))

    def read(self, slot: Slot) -> StateArrays:
        """A snapshot of one session's state."""
        return {name: np.array(array[0]) for name, array in self.gather([slot]).items()}

    def write(self, slot: Slot, snapshot: Mapping[str, NDArray[np.generic]]) -> None:
        """Restore a snapshot made by `read`. Raises `InvalidShape` when it does not fit."""
        rows = self.rows([slot])
        self._check(snapshot, ())
        self._put(rows, {name: np.asarray(array)[None] for name, array in snapshot.items()})

    @abstractmethod
    def _clear(self, row: int) -> None:
        """Set a row to zeros."""

    @abstractmethod
    def _take(self, rows: NDArray[np.intp]) -> StateArrays:
        """Copies of these rows."""

    @abstractmethod
    def _put(self, rows: NDArray[np.intp], new: Mapping[str, NDArray[np.generic]]) -> None:
        """Write these rows; names, shapes and types fit."""

    def _check(self, new: Mapping[str, NDArray[np.generic]], batch: tuple[int, ...]) -> None:
        if set(new) != {s.name for s in self.states}:
            raise InvalidShape(
                f"states are {sorted(new)}, expected {sorted(s.name for s in self.states)}"
            )
        for spec in self.states:
            seen, shape = new[spec.name], batch + spec.shape
            # Assignment would broadcast and cast: it must fit as it is.
            if seen.shape != shape or seen.dtype != np.dtype(spec.dtype):
                raise InvalidShape(
                    f"state {spec.name!r} is {seen.dtype} {list(seen.shape)}, "
                    f"expected {spec.dtype} {list(shape)}"
                )


class StatePool(Pool):
    """States in main memory: for each `StateSpec`, an array [capacity, *shape]."""

    def __init__(self, states: Sequence[StateSpec], capacity: int) -> None:
        super().__init__(states, capacity)
        self.arrays: StateArrays = {
            s.name: np.zeros((capacity, *s.shape), dtype=s.dtype) for s in self.states
        }

    def _clear(self, row: int) -> None:
        for array in self.arrays.values():
            array[row] = 0

    def _take(self, rows: NDArray[np.intp]) -> StateArrays:
        return {name: array[rows] for name, array in self.arrays.items()}

    def _put(self, rows: NDArray[np.intp], new: Mapping[str, NDArray[np.generic]]) -> None:
        for name, array in self.arrays.items():
            array[rows] = new[name]
