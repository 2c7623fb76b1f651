"""Lost connections: the stream goes on, nothing comes twice, nothing is missing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from surnn_client import (
    ConnectionLost,
    EventMessage,
    InvalidArgument,
    InvalidRequest,
    Marker,
    Message,
    Reconnect,
    Reconnected,
    ServerBusy,
    StreamOptions,
    Summary,
    Warning_,
    connect,
    connect_async,
    parse,
)
from surnn_client.durable import DurableConnection

QUICK = Reconnect(first_delay_s=0.001, max_delay_s=0.01)
STREAM = {"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 1}

Run = Callable[..., list[Message]]


@pytest.fixture
def play(scripted: Any, ready_message: dict[str, Any]) -> Callable[..., str]:
    """A server that plays one scene after the other, each for one connection."""

    def make(*scenes: Callable[[Any], Any]) -> str:
        following: Iterator[Callable[[Any], Any]] = iter(scenes)
        return str(scripted(lambda peer: next(following)(peer)))

    return make


async def open_at(peer: Any, ready: dict[str, Any], position: int = 0, **more: Any) -> None:
    peer.start = await peer.hear()
    resumed = {"resumed": position > 0, "position": position, "stream": STREAM} | more
    limits = ready["limits"] | {"checkpoint_interval_s": 1.0}
    await peer.say(**(ready | resumed | {"limits": limits}))


async def hear_bytes(peer: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        heard = await peer.hear()
        assert isinstance(heard, bytes), heard
        data += heard
    return data


async def until_end(peer: Any) -> list[Any]:
    heard: list[Any] = []
    while (message := await peer.hear()) != {"type": "end"}:
        heard.append(message)
    return heard


def checkpoint(position: int, events: int = 0) -> dict[str, Any]:
    return {
        "type": "checkpoint",
        "seq": 1,
        "position": position,
        "frames": position // 160,
        "events": events,
        "token": f"at {position}",
    }


def chunk(first: int, frames: int) -> dict[str, Any]:
    return {
        "type": "chunk",
        "seq": 1,
        "start": first / 100,
        "end": (first + frames) / 100,
        "first_sample": first * 160,
        "end_sample": (first + frames) * 160,
        "frames": frames,
        "probs": {"speech": [0.5] * frames},
        "sparsity": {"open_rate": [], "updates": 0, "skipped": 0, "possible": 0},
        "cost": {"compute_ms": 1.0, "realtime_factor": 1.0},
    }


DATA = bytes(range(256)) * 40


def test_it_goes_on_from_the_newest_checkpoint(
    event_message: dict[str, Any], play: Any, run: Run, ready_message: dict[str, Any]
) -> None:
    async def first(peer: Any) -> None:
        await open_at(peer, ready_message)
        assert "resume" not in peer.start
        await hear_bytes(peer, len(DATA))
        await peer.say(**chunk(0, 10))
        await peer.say(**event_message, number=1)
        await peer.say(**checkpoint(1600, events=1))
        await peer.say(**event_message, number=2)
        await peer.say(**chunk(10, 5))
        peer.websocket.transport.abort()

    async def second(peer: Any) -> None:
        await open_at(peer, ready_message, 1600, frames=10, events=1)
        assert peer.start["resume"] == "at 1600"
        assert peer.start["reported_frames"] == 15
        assert b"".join(await until_end(peer)) == DATA[3200:]
        await peer.say(**event_message, number=2)
        await peer.say(**event_message, number=3)
        await peer.finish()

    messages = run(play(first, second), [DATA[:5000], DATA[5000:]], reconnect=QUICK)
    kinds = [type(m).__name__ for m in messages]
    assert kinds == [
        *["Chunk", "EventMessage", "EventMessage", "Chunk"],
        *["Reconnected", "EventMessage", "Summary"],
    ]
    assert [m.number for m in messages if isinstance(m, EventMessage)] == [1, 2, 3]
    (again,) = [m for m in messages if isinstance(m, Reconnected)]
    assert (again.reason, again.attempts, again.position) == ("connection_lost", 1, 1600)


def test_without_a_checkpoint_it_begins_again(
    play: Any, run: Run, ready_message: dict[str, Any]
) -> None:
    async def first(peer: Any) -> None:
        await open_at(peer, ready_message)
        await hear_bytes(peer, 100)
        peer.websocket.transport.abort()

    async def second(peer: Any) -> None:
        await open_at(peer, ready_message)
        assert "resume" not in peer.start
        assert b"".join(await until_end(peer)) == DATA
        await peer.finish()

    messages = run(play(first, second), [DATA], reconnect=QUICK)
    assert [type(m) for m in messages] == [Reconnected, Summary]


@pytest.mark.parametrize("code", ["draining", "max_duration"])
def test_a_server_that_says_goodbye_hands_over(
    scripted: Any, run: Run, ready_message: dict[str, Any], code: str
) -> None:
    async def old(peer: Any) -> None:
        await open_at(peer, ready_message)
        await hear_bytes(peer, 3000)
        bye = {"code": code, "message": "bye", "retryable": True}
        await peer.say(**(checkpoint(1001) | bye | {"type": "error"}))
        await peer.websocket.close(1001)

    async def new(peer: Any) -> None:
        await open_at(peer, ready_message, 1001)
        assert peer.start["resume"] == "at 1001"
        assert b"".join(await until_end(peer)) == DATA[2002:]
        await peer.finish()

    urls = [scripted(old), scripted(new)]
    again, summary = run(urls, [DATA], reconnect=QUICK)
    assert isinstance(again, Reconnected)
    assert (again.url, again.reason) == (urls[1], code)
    assert isinstance(summary, Summary)


def test_markers_keep_their_place_and_are_answered_once(
    play: Any, ready_message: dict[str, Any]
) -> None:
    async def first(peer: Any) -> None:
        await open_at(peer, ready_message)
        assert await hear_bytes(peer, 4) == b"abcd"
        assert await peer.hear() == {"type": "marker", "id": "1"}
        await peer.hear()
        await peer.say(type="marker", seq=1, id="1")
        await peer.hear()
        peer.websocket.transport.abort()

    async def second(peer: Any) -> None:
        await open_at(peer, ready_message)
        heard = [message async for message in replies(peer)]
        assert heard == [b"abcdef", {"type": "marker", "id": "2"}, b"gh"]
        await peer.finish()

    async def replies(peer: Any) -> Any:
        while (message := await peer.hear()) != {"type": "end"}:
            yield message
            if isinstance(message, dict):
                await peer.say(type="marker", seq=1, id=message["id"])

    with connect(play(first, second), reconnect=QUICK) as stream:
        stream.send(b"abcd")
        stream.marker("1")
        stream.send(b"ef")
        stream.marker("2")
        assert next(iter(stream)) == Marker(1, "1")
        stream.send(b"gh")
        stream.end(timeout=10)
        assert [type(m) for m in stream.poll()] == [Reconnected, Marker, Summary]


def test_sending_waits_for_a_checkpoint_once_the_buffer_is_full(
    play: Any, run: Run, ready_message: dict[str, Any]
) -> None:
    """Never more than the bound is unsaved: the server sees it."""
    ahead: list[int] = []

    async def scene(peer: Any) -> None:
        await open_at(peer, ready_message)
        got = saved = 0
        while (message := await peer.hear()) != {"type": "end"}:
            got += len(message) if isinstance(message, bytes) else 0
            ahead.append(got - saved)
            if isinstance(message, dict):
                await peer.say(type="marker", seq=1, id=message["id"])
            if got - saved >= 64_000:  # two seconds, when the client can hold three
                saved = got
                await peer.say(**checkpoint(got // 2))
        await peer.finish()

    policy = Reconnect(buffer_s=3.0)
    run(play(scene), [bytes(10_000)] * 100, reconnect=policy)
    assert 64_000 <= max(ahead) <= 96_000 + 4096


def test_what_cannot_be_kept_cannot_be_resumed(
    scripted: Any, run: Run, ready_message: dict[str, Any]
) -> None:
    """A server without checkpoints: a short stream begins again, a long one is lost."""

    async def script(peer: Any) -> None:
        await peer.open()
        await hear_bytes(peer, 60_000)
        peer.websocket.transport.abort()

    policy = Reconnect(buffer_s=1.0, first_delay_s=0.001)
    with pytest.raises(ConnectionLost, match=r"^connection closed before"):
        run(scripted(script), [bytes(10_000)] * 10, reconnect=policy)


def test_it_gives_up_and_says_how_often_it_tried(
    play: Any, run: Run, ready_message: dict[str, Any]
) -> None:
    async def first(peer: Any) -> None:
        await open_at(peer, ready_message)
        await hear_bytes(peer, 2)
        await peer.say(**checkpoint(1))
        peer.websocket.transport.abort()

    async def busy(peer: Any) -> None:
        await peer.hear()
        await peer.say(type="error", seq=0, code="at_capacity", message="full", retryable=True)
        await peer.websocket.close(1013)

    policy = Reconnect(attempts=3, first_delay_s=0.001)
    expected = "connection closed before .*; 3 attempts to go on failed, the last one: full"
    with pytest.raises(ConnectionLost, match=expected) as caught:
        run(play(first, busy, busy, busy), [b"ab"], reconnect=policy)
    assert isinstance(caught.value.__cause__, ServerBusy)


def test_losses_without_progress_count_together(
    scripted: Any, run: Run, ready_message: dict[str, Any]
) -> None:
    """A stream that makes its server fail again and again is not repeated for ever."""
    starts = itertools.count()

    async def script(peer: Any) -> None:
        await open_at(peer, ready_message)
        next(starts)
        await hear_bytes(peer, 2)
        await peer.say(type="error", seq=1, code="internal", message="no", retryable=True)
        await peer.websocket.close(1011)

    policy = Reconnect(attempts=4, first_delay_s=0.001)
    with pytest.raises(ConnectionLost, match="no; 4 attempts to go on failed"):
        run(scripted(script), [b"ab"], reconnect=policy)
    assert next(starts) == 5


def test_a_refused_token_ends_the_stream(
    play: Any, run: Run, ready_message: dict[str, Any]
) -> None:
    async def first(peer: Any) -> None:
        await open_at(peer, ready_message)
        await hear_bytes(peer, 2)
        await peer.say(**checkpoint(1))
        peer.websocket.transport.abort()

    async def second(peer: Any) -> None:
        await peer.hear()
        await peer.say(type="error", seq=0, code="invalid_token", message="whose?", retryable=False)
        await peer.websocket.close(4004)

    with pytest.raises(InvalidRequest, match="whose"):
        run(play(first, second), [b"ab"], reconnect=QUICK)


def test_an_idle_stream_comes_back_when_there_is_something_to_say(
    play: Any, ready_message: dict[str, Any]
) -> None:
    returned = []

    async def first(peer: Any) -> None:
        await open_at(peer, ready_message)
        await hear_bytes(peer, 2)
        bye = {"code": "idle_timeout", "message": "silence", "retryable": True}
        await peer.say(**(checkpoint(1) | bye | {"type": "error"}))
        await peer.websocket.close(4031)

    async def second(peer: Any) -> None:
        await open_at(peer, ready_message, 1)
        returned.append(peer.start["resume"])
        assert await until_end(peer) == [b"cd"]
        await peer.finish()

    async def main(url: str) -> None:
        async with connect_async(url, reconnect=QUICK) as stream:
            await stream.send(b"ab")
            while stream.checkpoint is None:  # noqa: ASYNC110 - nothing is told meanwhile
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)
            assert returned == []
            await stream.send(b"cd")
            await stream.end()
        assert returned == ["at 1"]

    asyncio.run(main(play(first, second)))


def test_what_was_sent_into_the_silence_is_not_left_behind(
    play: Any, run: Run, ready_message: dict[str, Any]
) -> None:
    """Data and the goodbye of an idle stream may cross on their way."""

    async def first(peer: Any) -> None:
        await open_at(peer, ready_message)
        await until_end(peer)
        bye = {"code": "idle_timeout", "message": "silence", "retryable": True}
        await peer.say(**(checkpoint(1) | bye | {"type": "error"}))
        await peer.websocket.close(4031)

    async def second(peer: Any) -> None:
        await open_at(peer, ready_message, 1)
        assert await until_end(peer) == [b"cd"]
        await peer.finish()

    again, summary = run(play(first, second), [b"abcd"], reconnect=QUICK)
    assert isinstance(again, Reconnected)
    assert isinstance(summary, Summary)


def test_a_stream_can_be_closed_while_it_looks_for_a_server(
    play: Any, ready_message: dict[str, Any]
) -> None:
    async def first(peer: Any) -> None:
        await open_at(peer, ready_message)
        peer.websocket.transport.abort()

    async def main(url: str) -> None:
        async with connect_async(url, reconnect=Reconnect(first_delay_s=5.0)) as stream:
            await stream.send(b"ab")
            await asyncio.sleep(0.05)

    asyncio.run(asyncio.wait_for(main(play(first)), 3))


def test_what_comes_right_behind_ready_is_heard(
    run: Run, play: Callable[..., str], ready_message: dict[str, Any]
) -> None:
    """In the same packet, before the caller has the stream."""

    async def scene(peer: Any) -> None:
        await open_at(peer, ready_message)
        await peer.say(**checkpoint(0))
        await peer.say(type="warning", seq=2, code="odd", message="right away")
        await until_end(peer)
        await peer.finish()

    warning, summary = run(play(scene), [bytes(320)])
    assert isinstance(warning, Warning_)
    assert warning.code == "odd"
    assert isinstance(summary, Summary)


def test_a_goodbye_right_behind_ready_is_an_error_to_try_again(
    run: Run, play: Callable[..., str], ready_message: dict[str, Any]
) -> None:
    async def scene(peer: Any) -> None:
        await open_at(peer, ready_message)
        error = {"type": "error", "seq": 1, "code": "draining", "message": "bye"}
        await peer.say(**(checkpoint(0) | error | {"retryable": True}))
        await peer.websocket.close(1001)

    with pytest.raises(ServerBusy, match="bye"):
        run(play(scene), [bytes(320)], reconnect=False)


def test_messages_wait_until_the_stream_is_there() -> None:
    """They may be read in the same breath as `ready`."""
    heard: list[Message | None] = []
    durable = DurableConnection(
        "ws://localhost:1", StreamOptions(), heard.append, reconnect=True, open_timeout=1.0
    )
    durable._receive(parse(orjson.dumps(checkpoint(0))))
    assert durable._early
    durable._receive(None)
    assert not durable._early, "of a failed attempt, nothing is left for the next"
    assert not heard


def test_the_first_address_that_answers_is_taken(
    scripted: Any, run: Run, ready_message: dict[str, Any]
) -> None:
    async def draining(peer: Any) -> None:
        await peer.hear()
        await peer.say(type="error", seq=0, code="draining", message="bye", retryable=True)
        await peer.websocket.close(1001)

    async def good(peer: Any) -> None:
        await peer.open()
        await until_end(peer)
        await peer.finish()

    (summary,) = run([scripted(draining), scripted(good)], [b"ab"])
    assert isinstance(summary, Summary)


def test_policies_and_addresses_that_cannot_be(run: Run) -> None:
    with pytest.raises(InvalidArgument, match="attempts is 0, expected more than 0"):
        Reconnect(attempts=0)
    with pytest.raises(InvalidArgument, match="within_s is -1, expected at least 0"):
        Reconnect(within_s=-1)
    with pytest.raises(InvalidArgument, match="no address, expected at least one"):
        run([], [b""])


def test_attempts_wait_longer_and_longer_up_to_a_limit() -> None:
    policy = Reconnect(first_delay_s=1.0, max_delay_s=8.0)
    for attempt, longest in enumerate([1, 2, 4, 8, 8, 8]):
        delays = [policy.delay(attempt) for _ in range(50)]
        assert longest / 2 <= min(delays) < max(delays) <= longest
