"""What belongs to several sessions and lies one behind the other: no copy for each of them.

To whoever does not look closer these are sequences with one item for each session.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TypeVar, overload

from surnn.runtimes.base import FrameBlock
from surnn.types import Float32

__all__ = ["JoinedBlocks", "JoinedFrames"]

T = TypeVar("T")


class _Joined(Sequence[T]):
    """Session i has the rows `ends[i]` to `ends[i + 1]`."""

    def __init__(self, ends: Sequence[int]) -> None:
        self.ends = ends

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __iter__(self) -> Iterator[T]:
        return map(self._item, self.ends[:-1], self.ends[1:])

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]
        return self._item(self.ends[i], self.ends[i + 1])

    @abstractmethod
    def _item(self, begin: int, end: int) -> T:
        """One session's rows."""


class JoinedFrames(_Joined[Float32]):
    """Frames [T_i, S] of each session, cut out of `joined` [N, S]."""

    def __init__(self, joined: Float32, ends: Sequence[int]) -> None:
        super().__init__(ends)
        self.joined = joined

    def _item(self, begin: int, end: int) -> Float32:
        return self.joined[begin:end]


class JoinedBlocks(_Joined[FrameBlock]):
    """What each session's frames gave, cut out of `logits` [N, C] and `opened` [N, L]."""

    def __init__(self, logits: Float32, opened: Float32, ends: Sequence[int]) -> None:
        super().__init__(ends)
        self.logits = logits
        self.opened = opened

    def _item(self, begin: int, end: int) -> FrameBlock:
        return FrameBlock(self.logits[begin:end], self.opened[begin:end])
