"""An event loop in a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

__all__ = ["BackgroundLoop", "LoopStopped"]

_T = TypeVar("_T")


class LoopStopped(RuntimeError):
    """The loop takes no more calls."""


class BackgroundLoop:
    """Runs coroutines for other threads. `stop` when done."""

    def __init__(self) -> None:
        running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(_serve(running)), name="surnn-client", daemon=True
        )
        self._thread.start()
        self._loop, self._stop = running.result()
        self._stopping = False
        self._lock = threading.Lock()

    def call(self, coroutine: Coroutine[Any, Any, _T], timeout: float | None = None) -> _T:
        """Run to the end and return the result; cancelled when the wait is cut short.

        Raises `TimeoutError` after `timeout` seconds, and `LoopStopped` after `stop`.
        """
        with self._lock:
            if self._stopping:
                coroutine.close()
                raise LoopStopped("the event loop was stopped, expected a running one")
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout)
        except CancelledError:
            raise LoopStopped("the event loop was stopped during the call") from None
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Cancel what still runs and end the thread. Stopping twice is harmless."""
        with self._lock:
            first, self._stopping = not self._stopping, True
        if first:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


async def _serve(running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    stop = asyncio.Event()
    running.set_result((asyncio.get_running_loop(), stop))
    await stop.wait()
