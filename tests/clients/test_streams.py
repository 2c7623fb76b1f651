"""The asyncio and the blocking client against a scripted server."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from surnn_client import (
    ClientError,
    ConnectionFailed,
    ConnectionLost,
    EventMessage,
    InvalidRequest,
    Marker,
    Message,
    ProtocolViolation,
    ServerBusy,
    ServerFault,
    SessionExpired,
    StreamClosed,
    Summary,
    connect,
    connect_async,
)

Run = Callable[..., list[Message]]


async def until_end(peer: Any) -> bytes:
    data = b""
    while isinstance(heard := await peer.hear(), bytes):
        data += heard
    assert heard == {"type": "end"}
    return data


def test_a_stream_from_start_to_summary(
    event_message: dict[str, Any], scripted: Any, run: Run
) -> None:
    async def script(peer: Any) -> None:
        await peer.open()
        assert peer.start == {
            "type": "start",
            "model": "vad",
            "encoding": "pcm_s16le",
            "sample_rate": 8000,
            "report": "events",
            "checkpoint_interval_s": 5.0,
        }
        assert await until_end(peer) == b"abcd"
        await peer.say(**event_message)
        await peer.finish()

    options = {"encoding": "pcm_s16le", "sample_rate": 8000, "report": "events"}
    event, summary = run(scripted(script), [b"ab", b"", b"cd"], **options)
    assert isinstance(event, EventMessage)
    assert (event.label, event.time) == ("speech", 0.5)
    assert isinstance(summary, Summary)
    assert summary.sparsity.skipped == 1040


def test_messages_of_a_newer_server_are_passed_over(
    event_message: dict[str, Any], scripted: Any, run: Run
) -> None:
    async def script(peer: Any) -> None:
        await peer.open()
        await until_end(peer)
        await peer.say(type="news", seq=1)
        await peer.say(**event_message, speaker="A")
        await peer.finish()

    assert [type(m) for m in run(scripted(script), [b"ab"])] == [EventMessage, Summary]


def test_a_server_that_answers_before_it_reads_on_does_not_block_the_client(
    event_message: dict[str, Any], scripted: Any, run: Run
) -> None:
    # More than every buffer on the way holds, in both directions, before the client reads.
    answer = event_message | {"label": "x" * 500_000}

    async def script(peer: Any) -> None:
        await peer.open(max_buffered_seconds=10_000.0)
        while (heard := await peer.hear()) != {"type": "end"}:
            for _ in range(10):
                await peer.say(**answer)
            if isinstance(heard, dict):
                await peer.say(type="marker", seq=1, id=heard["id"])
        await peer.finish()

    messages = run(scripted(script), [bytes(1 << 20)] * 8)
    assert sum(isinstance(message, EventMessage) for message in messages) >= 80


def test_sending_waits_for_a_server_that_is_behind(scripted: Any, run: Run) -> None:
    seen: list[int] = []

    async def script(peer: Any) -> None:
        await peer.open(max_buffered_seconds=1.0)
        waiting = 0
        while (heard := await peer.hear()) != {"type": "end"}:
            if isinstance(heard, bytes):
                waiting += len(heard)
                seen.append(waiting)
            else:
                # Nothing but the marker says that the server is through.
                waiting = 0
                await peer.say(type="marker", seq=1, id=heard["id"])
        await peer.finish()

    run(scripted(script), [bytes(8000)] * 40, sample_rate=16000, report="events")
    assert len(seen) > 40, "chunks of a quarter second were split to fit the window"
    assert max(seen) <= 16000, "half of the second that the server buffers"


@pytest.mark.parametrize(
    ("code", "close", "kind", "retryable"),
    [
        ("invalid_audio", 1007, InvalidRequest, False),
        ("sent_too_fast", 4029, ServerBusy, True),
        ("idle_timeout", 4031, SessionExpired, False),
        ("internal", 1011, ServerFault, True),
    ],
)
def test_errors_within_a_stream(
    scripted: Any, run: Run, code: str, close: int, kind: type[ClientError], retryable: bool
) -> None:
    async def script(peer: Any) -> None:
        await peer.open()
        await peer.hear()
        await peer.say(type="error", seq=1, code=code, message="seen", retryable=retryable)
        await peer.websocket.close(close)

    with pytest.raises(kind, match="seen") as caught:
        run(scripted(script), [b"ab"] * 100, reconnect=False)
    error = caught.value
    assert (error.code, error.close_code, error.retryable) == (code, close, retryable)


@pytest.mark.parametrize(
    ("code", "close", "kind"),
    [
        ("unknown_model", 4004, InvalidRequest),
        ("at_capacity", 1013, ServerBusy),
        ("invalid_config", 4000, InvalidRequest),
    ],
)
def test_refusals_of_a_stream(
    scripted: Any, run: Run, code: str, close: int, kind: type[ClientError]
) -> None:
    async def script(peer: Any) -> None:
        await peer.hear()
        await peer.say(type="error", seq=0, code=code, message="no", retryable=False)
        await peer.websocket.close(close)

    with pytest.raises(kind, match="no") as caught:
        run(scripted(script), [b"ab"])
    assert (caught.value.code, caught.value.close_code) == (code, close)


def test_a_server_that_vanishes(scripted: Any, run: Run) -> None:
    async def script(peer: Any) -> None:
        await peer.open()
        await peer.hear()
        peer.websocket.transport.abort()

    with pytest.raises(ConnectionLost, match="connection closed before") as caught:
        run(scripted(script), [b"ab"], reconnect=False)
    assert caught.value.retryable


def test_a_close_without_a_summary(scripted: Any, run: Run) -> None:
    async def script(peer: Any) -> None:
        await peer.open()
        await until_end(peer)
        await peer.websocket.close(1000)

    with pytest.raises(ConnectionLost, match="closed before the summary \\(code 1000\\)"):
        run(scripted(script), [b"ab"], reconnect=False)


@pytest.mark.parametrize("said", ["not json", '{"type": "chunk", "seq": 1}'])
def test_a_server_that_speaks_something_else(scripted: Any, run: Run, said: str) -> None:
    async def script(peer: Any) -> None:
        await peer.open()
        await peer.websocket.send(said)
        await peer.websocket.wait_closed()

    with pytest.raises(ProtocolViolation, match="server sent"):
        run(scripted(script), [b"ab"])


def test_nobody_there(run: Run) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ConnectionFailed, match="cannot reach ws://127") as caught:
            run(url, [b"ab"])
    assert caught.value.retryable


def test_a_server_that_does_not_answer(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConnectionFailed, match=r"no answer from .* within 0\.05 s"):
            run(url, [b"ab"], open_timeout=0.05)


def test_markers_and_control_messages_keep_their_place(scripted: Any) -> None:
    heard: list[Any] = []

    async def script(peer: Any) -> None:
        await peer.open()
        while (message := await peer.hear()) != {"type": "end"}:
            heard.append(message)
            if isinstance(message, dict) and message["type"] == "marker":
                await peer.say(type="marker", seq=1, id=message["id"])
        await peer.finish()

    with connect(scripted(script)) as stream:
        assert stream.ready.model.labels == ("speech",)
        stream.send(b"ab")
        stream.flush()
        stream.marker("one")
        stream.keepalive()
        summary = stream.end()
        assert summary.reason == "end"
        assert stream.end() == summary
        assert stream.poll() == [Marker(1, "one"), summary]
        assert stream.poll() == []
        assert list(stream) == []
        with pytest.raises(StreamClosed, match="expected an open one"):
            stream.send(b"ab")
    with pytest.raises(StreamClosed, match="expected an open one"):
        stream.send(b"ab")
    stream.close()
    assert heard == [
        b"ab",
        {"type": "flush"},
        {"type": "marker", "id": "one"},
        {"type": "keepalive"},
    ]


def test_asyncio_sends_and_reads_side_by_side(scripted: Any) -> None:
    async def script(peer: Any) -> None:
        await peer.open()
        while (message := await peer.hear()) != {"type": "end"}:
            if isinstance(message, dict):
                await peer.say(type="marker", seq=1, id=message["id"])
        await peer.finish()

    async def main(url: str) -> None:
        async with connect_async(url) as stream:
            await stream.send(b"ab")
            await stream.marker("one")
            assert await anext(stream) == Marker(1, "one")
            summary = await stream.end()
            assert [m async for m in stream] == [summary]
            assert [m async for m in stream] == []
            with pytest.raises(StreamClosed):
                await stream.keepalive()

    asyncio.run(main(scripted(script)))


def test_a_source_that_fails_ends_the_run_with_its_own_error(scripted: Any) -> None:
    async def script(peer: Any) -> None:
        await peer.open()
        await peer.websocket.wait_closed()

    def broken() -> Iterator[bytes]:
        yield b"ab"
        raise OSError("microphone unplugged")

    async def broken_async() -> AsyncIterator[bytes]:
        for chunk in broken():
            yield chunk

    async def main(url: str) -> None:
        async with connect_async(url) as stream:
            async for _ in stream.run(broken_async()):
                pass

    url = scripted(script)
    with pytest.raises(OSError, match="microphone unplugged"):
        asyncio.run(main(url))
    with connect(url) as stream, pytest.raises(OSError, match="microphone unplugged"):
        list(stream.run(broken()))


def test_leaving_a_run_early_still_allows_a_clean_end(
    event_message: dict[str, Any], scripted: Any
) -> None:
    async def script(peer: Any) -> None:
        await peer.open()
        await peer.hear()
        await peer.say(**event_message)
        while await peer.hear() != {"type": "end"}:
            pass
        await peer.finish()

    def endless() -> Iterator[bytes]:
        while True:
            yield b"ab"

    with connect(scripted(script)) as stream:
        for message in stream.run(endless()):
            assert isinstance(message, EventMessage)
            break
        assert stream.end(timeout=10).reason == "end"


def test_leaving_the_block_in_the_middle_closes_the_connection(scripted: Any) -> None:
    closed: SimpleQueue[int] = SimpleQueue()

    async def script(peer: Any) -> None:
        await peer.open()
        await peer.websocket.wait_closed()
        closed.put(peer.websocket.close_code)

    with connect(scripted(script)) as stream:
        stream.send(b"ab")
    # The other side sees the end a moment later, in a thread of its own.
    assert closed.get(timeout=10) == 1000
    with pytest.raises(StreamClosed, match="closed here"):
        list(stream)


def test_a_recording_longer_than_the_report_interval_and_the_window(
    tiny_model: Path,
) -> None:
    from surnn_cli.server_process import running_server

    with (
        running_server(str(tiny_model)) as url,
        connect(url, model="tiny", report_interval_ms=60_000) as stream,
    ):
        *_, summary = stream.run(bytes(32_000) for _ in range(120))
    assert isinstance(summary, Summary)
    assert summary.seconds == 120.0


def test_an_option_that_is_none_is_named() -> None:
    with pytest.raises(TypeError, match=r"option 'modle', expected one of \['model', "):
        connect("ws://localhost", modle="vad").__enter__()  # type: ignore[call-arg]
