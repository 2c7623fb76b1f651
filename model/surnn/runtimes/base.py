"""The small protocol behind which every runtime lives.

A runtime owns no session. It takes a pool of states, the slots of a batch and each session's
frames, advances those states in place, and returns what it computed. Sessions of a batch may
bring different numbers of frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from surnn.spec import ModelSpec
from surnn.state import Pool, Slot
from surnn.types import Float32

__all__ = ["FrameBlock", "Runtime"]


@dataclass(slots=True, eq=False)
class FrameBlock:
    """What one session's frames gave. Not frozen, because there are so many."""

    logits: Float32
    """[T, C]"""
    opened: Float32
    """Neurons that were updated in each frame and layer [T, L]: whole numbers."""


class Runtime(Protocol):
    """Runs a model's frames for a batch of sessions."""

    name: str
    spec: ModelSpec
    fingerprint: str
    """Names the weights: states saved under one fingerprint belong to no other."""
    atomic: bool
    """Has a `run` that raised changed no state?"""

    def new_pool(self, capacity: int) -> Pool:
        """A pool for the states of up to `capacity` sessions, where this runtime wants them."""
        ...

    def run(
        self, pool: Pool, slots: Sequence[Slot], frames: Sequence[Float32]
    ) -> Sequence[FrameBlock]:
        """Advance each slot by its frames [T_i, S] and return a block for each, in order.

        Raises `InvalidShape` before any state changes if a frame array does not fit.
        """
        ...
