"""Well-behaved clients: one stream after the other, each compared with what it must give."""

from __future__ import annotations

import asyncio
import collections
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from surnn_cli.soak.sounds import Result, Sound, event_key
from surnn_client import (
    Chunk,
    ClientError,
    ConnectionFailed,
    ConnectionLost,
    EventMessage,
    Reconnected,
    StreamClosed,
    Summary,
)
from surnn_client.aio import AsyncStream, connect_async
from surnn_client.reconnect import Reconnect

__all__ = ["TOLERANCE", "Case", "Score", "open_stream", "play", "play_on"]

TOLERANCE = 1e-5
"""Of probabilities of ONNX Runtime: their last bits depend on what shares a call."""
# Time limits are for what hangs. They are above what a machine with other work can make of it.
_OPEN_S = 300.0
_OPEN_TIMEOUT_S = 30.0
_POLICY = Reconnect(
    attempts=400, within_s=300.0, max_delay_s=1.0, checkpoint_interval_s=1.0, buffer_s=8.0
)


@dataclass(frozen=True)
class Case:
    """What one stream sends, to which model, and what it must give."""

    model: str
    sound: Sound
    expected: Result
    exact: bool
    """To the last bit, or within `TOLERANCE`?"""


@dataclass
class Score:
    """How all streams went."""

    finished: int = 0
    exact: int = 0
    """Of these, streams whose every bit was compared."""
    lost: list[str] = field(default_factory=list)
    """What is wrong with each stream that did not give what it must."""
    not_opened: int = 0
    """Attempts to begin a stream that failed; nothing was sent yet."""
    seconds: float = 0.0
    frames: int = 0
    events: int = 0
    handed_over: int = 0
    """Streams that another client went on with, from a token."""
    reconnects: collections.Counter[str] = field(default_factory=collections.Counter)
    resent: float = 0.0
    """Seconds that were sent again."""


@dataclass
class _Told(Result):
    """What one stream has given so far."""

    numbers: list[int] = field(default_factory=list)
    summary: Summary | None = None


async def play_on(
    url: str, cases: Sequence[Case], score: Score, chance: random.Random, over: asyncio.Event
) -> None:
    """Play one case after the other until it is over."""
    while not over.is_set():
        case = chance.choice(cases)
        try:
            told = await play(url, case, score, chance)
        except ClientError as error:
            score.lost.append(f"{case.model}: {type(error).__name__}: {error}")
            continue
        score.finished += 1
        score.exact += case.exact
        score.seconds += case.sound.seconds
        score.frames += len(told.probs)
        score.events += len(told.events)
        if wrong := difference(told, case):
            score.lost.append(f"{case.model}: {wrong}")


async def play(url: str, case: Case, score: Score, chance: random.Random) -> _Told:
    """Stream a case, in pieces of odd sizes, at some speed. Raises `ClientError`."""
    told = _Told()
    speed = chance.choice((2.0, 20.0, 0.0, 0.0))
    sound = case.sound
    handover = chance.uniform(0.2, 0.8) if chance.random() < 0.15 else None
    token, begin = None, 0
    for last in (False, True) if handover else (True,):
        end = len(sound.data) if last else int(len(sound.data) * (handover or 0.0))
        async with AsyncExitStack() as stack:
            stream = await open_stream(stack, url, case.model, sound, token, score)
            if token:
                begin = stream.ready.position * sound.bytes_per_sample
                # What came behind the checkpoint comes again.
                del told.probs[stream.ready.frames :], told.events[stream.ready.events :]
                del told.numbers[stream.ready.events :]
                score.handed_over += 1
            pieces = _pieces(sound, begin, end, speed, chance)
            if last:
                await _listen(stream.run(pieces), told, score, sound)
            else:
                await _until_saved(stream, pieces, told, score, sound)
        token = stream.checkpoint.token if stream.checkpoint else None
        if not last and token is None:
            told = _Told()  # nothing was saved yet: from the start
    return told


async def open_stream(
    stack: AsyncExitStack,
    url: str,
    model: str,
    sound: Sound,
    token: str | None,
    score: Score,
    report: Literal["events", "frame"] = "frame",
) -> AsyncStream:
    """Open a stream; the client goes on by itself with an open one, but not before.

    Raises `ClientError`.
    """
    deadline = time.monotonic() + _OPEN_S
    while True:
        try:
            return await stack.enter_async_context(
                connect_async(
                    url,
                    model=model,
                    sample_rate=None if token else sound.rate,
                    encoding=None if token else sound.encoding,
                    channels=None if token else sound.channels,
                    thresholds=None if token else sound.thresholds or None,
                    report=report,
                    reconnect=_POLICY,
                    resume=token,
                    open_timeout=_OPEN_TIMEOUT_S,
                )
            )
        except ClientError as error:
            passing = error.retryable or isinstance(error, ConnectionFailed | ConnectionLost)
            if not passing or time.monotonic() > deadline:
                raise
            score.not_opened += 1
            await asyncio.sleep(0.2)


async def _until_saved(
    stream: AsyncStream, pieces: AsyncIterator[bytes], told: _Told, score: Score, sound: Sound
) -> None:
    """Send the pieces while listening, and go when they are sent."""
    listening = asyncio.create_task(_listen(stream, told, score, sound))
    try:
        async for piece in pieces:
            await stream.send(piece)
    finally:
        # What came before the newest checkpoint may wait to be read, and does not come again.
        await stream.close()
        await asyncio.wait([listening])
    if not isinstance(listening.exception(), StreamClosed):
        listening.result()


async def _listen(messages: AsyncIterator[object], told: _Told, score: Score, sound: Sound) -> None:
    async for message in messages:
        match message:
            case Chunk():
                told.probs += next(iter(message.probs.values())).frames or ()
            case EventMessage():
                told.numbers.append(message.number)
                told.events.append(event_key(message))
            case Reconnected():
                score.reconnects[message.reason] += 1
                ahead = len(told.probs) / 100 - message.position / sound.rate
                score.resent += max(0.0, ahead)
            case Summary():
                told.summary = message


async def _pieces(
    sound: Sound, begin: int, end: int, speed: float, chance: random.Random
) -> AsyncIterator[bytes]:
    """The sound in pieces; 0 is as fast as it goes. Now and then a long silence of the client."""
    at, began = begin, time.monotonic()
    silent = chance.random() < 0.02
    while at < end:
        size = chance.randint(1, sound.bytes_per_second // 2)
        yield sound.data[at : min(at + size, end)]
        at += size
        if silent and at > end // 2:
            silent = False
            await asyncio.sleep(8.0)
        due = began + (at - begin) / sound.bytes_per_second / speed if speed else 0.0
        await asyncio.sleep(max(0.0, due - time.monotonic()))


def difference(told: _Told, case: Case) -> str | None:
    """What is not as it must be; None: nothing."""
    expected, summary = case.expected, told.summary
    if summary is None:
        return "no summary"
    if told.numbers != list(range(1, len(told.events) + 1)):
        return f"events are numbered {told.numbers[:20]}"
    if len(told.probs) != len(expected.probs):
        return f"{len(told.probs)} frames, expected {len(expected.probs)}"
    if summary.frames != len(told.probs) or summary.events != len(told.events):
        return f"summary of {summary.frames} frames, {summary.events} events"
    if summary.samples * case.sound.bytes_per_sample != len(case.sound.data):
        return f"summary of {summary.samples} samples"
    probs, wanted = np.array(told.probs, np.float32), np.array(expected.probs, np.float32)
    if case.exact:
        if not np.array_equal(probs, wanted):
            at = int(np.flatnonzero(probs != wanted)[0])
            return f"frame {at} is {probs[at]}, expected {wanted[at]}"
        if told.events != expected.events:
            return f"events are {told.events}, expected {expected.events}"
    elif not np.allclose(probs, wanted, rtol=0, atol=TOLERANCE):
        return f"frames differ by up to {np.abs(probs - wanted).max():.2g}"
    return None
