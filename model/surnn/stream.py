"""The embedded API: one stream inside your own program, no server."""

from __future__ import annotations

import warnings
from types import TracebackType

from surnn.engine import Engine, StreamConfig
from surnn.ingest import Samples
from surnn.runtimes.base import Runtime
from surnn.types import ChunkResult, Event, Sparsity

__all__ = ["Stream"]

_BLOCK = 1000
"""Frames per result at most: bounds memory however long the data fed at once is."""


class Stream:
    """One stream of one model. Made by `surnn.Model.stream`, and closed at the end of a block:

        with model.stream(sample_rate=48_000) as stream:
            for chunk in stream.feed(pcm):
                print(chunk.events, chunk.sparsity.open_rate)

    Not thread-safe: one thread at a time may use a stream.
    """

    def __init__(self, runtime: Runtime, config: StreamConfig) -> None:
        self._engine = Engine(runtime, capacity=1)
        self._session = self._engine.open(config)
        self.spec = self._session.spec

    @property
    def seconds(self) -> float:
        """Length of the stream reported so far."""
        return self._session.seconds

    @property
    def sparsity(self) -> Sparsity:
        """How much of the network the whole stream updated so far."""
        return self._session.sparsity()

    def feed(self, data: Samples) -> list[ChunkResult]:
        """Results for the frames that this chunk of any size completes, perhaps none.

        Raises `InvalidAudio` or `InvalidShape`; the stream then goes on as if the chunk had
        not been sent.
        """
        self._session.push(data)
        return self._drain()

    def finish(self) -> tuple[list[ChunkResult], list[Event]]:
        """End the stream: the last results, and end events for the spans still open."""
        if dropped := self._session.finish():
            warnings.warn(f"stream ended inside a sample: {dropped} bytes dropped", stacklevel=2)
        return self._drain(), self._session.close_events()

    def close(self) -> None:
        """Free the stream's state. Closing twice is harmless."""
        self._engine.close(self._session)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _drain(self) -> list[ChunkResult]:
        session, results = self._session, []
        while session.ready:
            (result,) = self._engine.step([session], _BLOCK)
            if result is not None and result.frames:
                results.append(result)
        return results
