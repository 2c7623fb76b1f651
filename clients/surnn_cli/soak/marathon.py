"""One stream that lasts as long as the soak, and is a month old when it begins."""

from __future__ import annotations

import asyncio
import collections
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import surnn
from surnn.encodings import Encoding
from surnn.engine import Engine, StreamConfig
from surnn_cli.soak.sounds import Sound, event_key, eventful, make_sound
from surnn_cli.soak.streams import Score, open_stream
from surnn_cli.soak.vandals import Tokens
from surnn_client import ClientError, EventMessage, Summary

__all__ = ["Marathon"]

_AGE_S = 30 * 86_400
_SOUND_S = 60.0
_SEED = 1
"""Of a sound at the rate of the model: as many samples as possible count."""
_PIECE_S = 1.0


@dataclass
class Marathon:
    """Sends a sound over and over, as fast as it goes; compares every event, and the totals.

    A second session of the same engine here, which nothing disturbs, says what is right.
    """

    hours: float = 0.0
    events: int = 0
    updates: int = 0

    async def run(self, url: str, tokens: Tokens, score: Score, over: asyncio.Event) -> None:
        """Until it is over. What goes wrong is in the score."""
        twin = await asyncio.to_thread(_Twin)
        case, token = twin.sound, tokens.seal(twin.snapshot)
        try:
            async with AsyncExitStack() as stack:
                stream = await open_stream(stack, url, "vad", case, token, score, report="events")
                async for message in stream.run(twin.pieces(over)):
                    if isinstance(message, EventMessage):
                        self._compare(event_key(message), twin, score)
                    elif isinstance(message, Summary):
                        self._finish(message, twin, score)
        except ClientError as error:
            score.lost.append(f"marathon: {type(error).__name__}: {error}")

    def _compare(self, event: tuple[object, ...], twin: _Twin, score: Score) -> None:
        self.events += 1
        wanted = twin.events.popleft() if twin.events else None
        same = event == wanted if twin.exact else wanted is not None and event[:3] == wanted[:3]
        if not same:
            score.lost.append(f"marathon: event {self.events} is {event}, expected {wanted}")

    def _finish(self, summary: Summary, twin: _Twin, score: Score) -> None:
        self.hours = round((summary.seconds - _AGE_S) / 3600.0, 2)
        self.updates = summary.sparsity.updates
        seen = (summary.samples, summary.frames, summary.sparsity.updates, summary.events)
        wanted = twin.totals(self.events)
        if twin.events:
            score.lost.append(f"marathon: {len(twin.events)} events did not come")
        if seen != wanted and twin.exact:
            score.lost.append(f"marathon: samples, frames, updates, events {seen}, not {wanted}")


class _Twin:
    """The same stream, undisturbed."""

    def __init__(self) -> None:
        model = surnn.load("vad")
        self.exact = model.runtime.name == "native"
        self.sound: Sound = eventful(model, make_sound(_SEED, _SOUND_S))
        self.events: collections.deque[tuple[object, ...]] = collections.deque()
        """What the stream has to tell, and has not told yet."""
        self._engine = Engine(model.runtime, capacity=1)
        self._session = self._engine.open(
            StreamConfig(
                sample_rate=self.sound.rate,
                encoding=Encoding(self.sound.encoding),
                channels=self.sound.channels,
                thresholds=self.sound.thresholds,
            )
        )
        self._engine.skip(self._session, _AGE_S * self.sound.rate)
        self.snapshot = self._engine.save(self._session)

    async def pieces(self, over: asyncio.Event) -> AsyncIterator[bytes]:
        """The samples to send; what they must give is known before they are."""
        chance = random.Random(_SEED)
        data = self.sound.data
        while not over.is_set():
            at = 0
            while at < len(data):
                size = chance.randint(1, int(self.sound.bytes_per_second * _PIECE_S))
                await asyncio.to_thread(self._feed, data[at : at + size])
                yield data[at : at + size]
                at += size
        self._session.finish()
        await asyncio.to_thread(self._drain)
        self.events += [event_key(event) for event in self._session.close_events()]

    def totals(self, events: int) -> tuple[int, int, int, int]:
        """Samples, frames, updates; events are as many as were compared."""
        session = self._session
        updates = session.sparsity().updates
        return session.ingest.position, session.reported, updates, events

    def _feed(self, data: bytes) -> None:
        self._session.push(data)
        self._drain()

    def _drain(self) -> None:
        while self._session.ready:
            (result,) = self._engine.step([self._session])
            if result is not None:
                self.events += [event_key(event) for event in result.events]
