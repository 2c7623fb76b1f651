"""Who waits for a session's state to be saved, or to be put in its place."""

from __future__ import annotations

import asyncio
from collections import deque

from surnn_server.codes import ErrorCode, Refusal
from surnn_server.saved import Checkpointed, NotReplaced, Replaced

__all__ = ["Pending"]


class Pending:
    """Requests from outside the stream, answered by the worker's outputs. On the event loop."""

    def __init__(self) -> None:
        self._saving: list[asyncio.Future[Checkpointed]] = []
        self._replacing: deque[asyncio.Future[Checkpointed]] = deque()

    def saving(self) -> asyncio.Future[Checkpointed]:
        """The next checkpoint; fails with `Refusal` when the session ends before."""
        waiter: asyncio.Future[Checkpointed] = asyncio.get_running_loop().create_future()
        self._saving.append(waiter)
        return waiter

    def replacing(self) -> asyncio.Future[Checkpointed]:
        """How the next replacement ends, in the order of asking; fails with `Refusal`."""
        waiter: asyncio.Future[Checkpointed] = asyncio.get_running_loop().create_future()
        self._replacing.append(waiter)
        return waiter

    def saved(self, checkpoint: Checkpointed) -> None:
        """The session was saved: one checkpoint answers all who asked."""
        waiters, self._saving = self._saving, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(checkpoint)

    def replaced(self, outcome: Replaced | NotReplaced) -> None:
        """A state was put in place, or did not fit."""
        waiter = self._replacing.popleft()
        if waiter.done():
            return
        if isinstance(outcome, Replaced):
            waiter.set_result(outcome.checkpoint)
        else:
            waiter.set_exception(Refusal(ErrorCode.INVALID_TOKEN, outcome.message))

    def close(self) -> None:
        """The session is over: nobody is answered any more."""
        for waiter in (*self._saving, *self._replacing):
            if not waiter.done():
                waiter.set_exception(Refusal(ErrorCode.NOT_FOUND, "the session has just ended"))
