"""A stream's probabilities and open rates as rows of blocks, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from surnn_client import Chunk

__all__ = ["Track", "bars"]

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII = " .:-=+*#@"


@dataclass(slots=True)
class _Entry:
    seconds: float
    probs: list[float]
    """The peak of each label."""
    open_rate: list[float]
    """The mean of each layer."""


class Track:
    """What was seen of a stream: exact at first, coarser the longer the stream is.

    Args:
        limit: pieces that are kept at most; an even number.
    """

    def __init__(self, limit: int = 2048) -> None:
        self._entries: list[_Entry] = []
        self._limit = limit
        self._per_entry = 1
        """Chunks that an entry holds; the last one may hold fewer."""
        self._in_last = 1

    @property
    def seconds(self) -> float:
        """Length of the stream so far."""
        return sum(entry.seconds for entry in self._entries)

    def add(self, chunk: Chunk) -> None:
        """Append the next piece of the stream."""
        entry = _Entry(
            chunk.end - chunk.start,
            [p.max for p in chunk.probs.values()],
            list(chunk.sparsity.open_rate),
        )
        if self._entries and self._in_last < self._per_entry:
            self._entries[-1] = _merge(self._entries[-1], entry)
            self._in_last += 1
            return
        if len(self._entries) == self._limit:
            pairs = zip(self._entries[::2], self._entries[1::2], strict=True)
            self._entries = [_merge(a, b) for a, b in pairs]
            self._per_entry *= 2
        self._entries.append(entry)
        self._in_last = 1

    def probs(self, label: int, width: int) -> list[float]:
        """Peak probabilities of one label over the whole stream, in `width` columns."""
        return [max(e.probs[label] for e in column) for column in self._columns(width)]

    def open_rate(self, width: int) -> list[float]:
        """Mean open rates of all layers together, in `width` columns."""
        return [
            sum(sum(e.open_rate) for e in column) / max(1, sum(len(e.open_rate) for e in column))
            for column in self._columns(width)
        ]

    def _columns(self, width: int) -> list[list[_Entry]]:
        """Entries that touch each column of the stream's time."""
        total = self.seconds
        if not total:
            return []
        columns: list[list[_Entry]] = [[] for _ in range(width)]
        start = 0.0
        for entry in self._entries:
            first = min(int(start / total * width), width - 1)
            start += entry.seconds
            # An end that falls on a column's edge, up to rounding, does not touch the next one.
            last = min(max(int(start / total * width - 1e-6), first), width - 1)
            for column in columns[first : last + 1]:
                column.append(entry)
        return columns


def bars(values: Sequence[float], *, top: float = 1.0, blocks: bool = True) -> str:
    """One character for each value, from nothing at 0 to full at `top`."""
    ramp = _BLOCKS if blocks else _ASCII
    steps = len(ramp) - 1
    return "".join(ramp[min(max(round(v / top * steps), 0), steps)] for v in values)


def _merge(a: _Entry, b: _Entry) -> _Entry:
    seconds = a.seconds + b.seconds
    share = a.seconds / seconds if seconds else 0.5
    return _Entry(
        seconds,
        [max(p, q) for p, q in zip(a.probs, b.probs, strict=True)],
        [p * share + q * (1 - share) for p, q in zip(a.open_rate, b.open_rate, strict=True)],
    )
