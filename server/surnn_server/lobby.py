"""Connections that have not said what they want: how many of them there may be."""

from __future__ import annotations

from collections.abc import Callable

from surnn_server.codes import ErrorCode, Refusal

__all__ = ["Lobby"]


class Lobby:
    """WebSockets before their `start`. Each holds memory, and none is known to be any good.

    Args:
        limit: at the same time; more are refused.
        count: told how many there are.
    """

    def __init__(self, limit: int, count: Callable[[int], object]) -> None:
        self._limit = limit
        self._count = count
        self._waiting: set[object] = set()

    def enter(self, connection: object) -> None:
        """A connection was made. Raises `Refusal`."""
        if len(self._waiting) >= self._limit:
            raise Refusal(
                ErrorCode.AT_CAPACITY,
                f"{len(self._waiting)} connections have not sent 'start', expected fewer: "
                "try again later",
            )
        self._waiting.add(connection)
        self._count(len(self._waiting))

    def leave(self, connection: object) -> None:
        """The connection has started, or is over. Leaving twice is harmless."""
        self._waiting.discard(connection)
        self._count(len(self._waiting))
