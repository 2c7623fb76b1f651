"""What was sent and is not yet safe: kept, in order, to be sent again. No I/O.

Data is safe once a checkpoint covers it, a marker once it was answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Control", "Journal"]

_BLOCK = 16 << 10


@dataclass(frozen=True, slots=True)
class Control:
    """A control message in its place among the data."""

    kind: str
    id: str | None = None
    """Of a marker."""


class Journal:
    """Bytes of a stream by their place in it, and the control messages between them."""

    def __init__(self, start: int = 0) -> None:
        self.start = start
        """The first byte that is kept."""
        self.end = start
        """Bytes of the stream added so far."""
        self.whole = True
        """Can everything that is not safe be sent again?"""
        # Blocks, so that many small messages cost no more than few large ones.
        self._blocks: deque[bytearray] = deque()
        self._controls: deque[tuple[int, int, Control]] = deque()
        """(number, bytes before it, message)"""
        self._number = 0
        self._shifted = 0
        """Place in the stream, as those who ask count it, less place as it is kept."""

    def __len__(self) -> int:
        return self.end - self.start

    def add(self, data: bytes | memoryview) -> None:
        """Data was sent, or is to be."""
        if not self._blocks or len(self._blocks[-1]) + len(data) > _BLOCK:
            self._blocks.append(bytearray())
        self._blocks[-1] += data
        self.end += len(data)

    def add_control(self, control: Control) -> None:
        """A control message was sent, or is to be."""
        self._controls.append((self._number, self.end, control))
        self._number += 1

    def safe(self, position: int) -> None:
        """A checkpoint covers the bytes before `position`."""
        position -= self._shifted
        while self._blocks and self.start + len(self._blocks[0]) <= position:
            self.start += len(self._blocks.popleft())
        self._controls = deque(
            item for item in self._controls if item[1] >= position or item[2].id is not None
        )

    def shift(self, count: int) -> None:
        """What was byte n is called byte n + count from now on."""
        self._shifted += count

    def answered(self, marker: str) -> None:
        """The oldest marker of that id came back."""
        for item in self._controls:
            if item[2].id == marker:
                self._controls.remove(item)
                return

    def forget(self) -> None:
        """Keep nothing of what was sent so far: it cannot be sent again."""
        self._blocks.clear()
        self._controls.clear()
        self.start, self.whole = self.end, False

    def since(self, position: int) -> Iterator[bytes | Control]:
        """Everything from byte `position` on, with what is added until the last was taken."""
        position -= self._shifted
        number = 0
        while True:
            following = next((item for item in self._controls if item[0] >= number), None)
            if following is not None and following[1] <= position:
                number = following[0] + 1
                yield following[2]
                continue
            stop = self.end if following is None else following[1]
            if position >= stop:
                return
            data = self._read(position, stop)
            position += len(data)
            yield data

    def _read(self, position: int, stop: int) -> bytes:
        """The bytes from `position` to the end of their block."""
        at = self.start
        for block in self._blocks:
            if position < at + len(block):
                return bytes(block[position - at : stop - at])
            at += len(block)
        raise AssertionError(f"byte {position} is not kept, expected {self.start} to {self.end}")
