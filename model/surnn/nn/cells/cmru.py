"""CMRU: a BMRU whose writes add up (arXiv 2605.11855).

    s' = s + v where z = 1, s (the same bits) where z = 0

and all else as in `surnn.nn.cells.bmru`, whose epsilon is 1 here. s counts: it is a whole number,
exact in float32 up to 2^24. There it stays: at -2^24 and 2^24 the count saturates, in every
runtime, and comes back when writes of the other sign do. At 100 frames a second that takes two days
of writes of one sign in every frame. Long before, the head sees counts that it never saw in
training: watch `s` where streams run for days, or train on states that were carried far.
"""

from torch import Tensor

from surnn.nn.cells.bmru import BMRU

__all__ = ["CMRU", "LIMIT"]

LIMIT = 2.0**24
"""Largest |s|: float32 holds no odd number beyond."""


class CMRU(BMRU):
    """One CMRU layer."""

    keeps = 1.0

    def _advance(self, kept: Tensor, added: Tensor, s: Tensor) -> Tensor:
        return (kept * s + added).clamp(-LIMIT, LIMIT)
