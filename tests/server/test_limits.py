"""Limits: time, place, speed; and the end of the server."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time

import pytest
from websockets.exceptions import InvalidStatus


def test_a_silent_client_is_told_to_go(run_server, call):
    async def go(server, started):
        async with call(server) as client:
            if started:
                await client.start()
            return await client.hear_all()

    with run_server(idle_timeout_s=0.05) as server:
        for started in (True, False):
            heard = asyncio.run(go(server, started))
            assert heard.code == 4031
            assert heard.error["code"] == "idle_timeout"
            assert heard.error["message"] == "nothing was sent for 0.05 s"
        server.wait_until_empty()


def test_keepalive_keeps_a_session(run_server, call):
    async def go(server):
        async with call(server) as client:
            await client.start()
            for _ in range(6):
                await asyncio.sleep(0.2)
                await client.say(type="keepalive")
            await client.say(type="end")
            return await client.hear_all()

    with run_server(idle_timeout_s=1.0) as server:
        assert asyncio.run(go(server)).code == 1000


def test_a_session_may_last_only_so_long(run_server, call):
    async def go(server):
        async with call(server) as client:
            ready = await client.start()
            assert ready["limits"]["max_session_s"] == 0.05
            return await client.hear_all()

    with run_server(max_session_s=0.05) as server:
        heard = asyncio.run(go(server))
        assert heard.code == 4032
        assert heard.error["code"] == "max_duration"
        server.wait_until_empty()


def test_a_full_server_refuses_clearly_and_has_a_place_once_one_is_free(run_server, call):
    async def go(server):
        async with call(server) as a, call(server) as b, call(server) as c:
            await a.start()
            await b.start(model="sense")
            await c.say(type="start", model="fake")
            refused = await c.hear_all()
            await a.say(type="end")
            await a.hear_all()
            async with call(server) as d:
                await d.start()
                await d.say(type="end")
                return refused, await d.hear_all()

    with run_server(max_sessions=2) as server:
        refused, later = asyncio.run(go(server))
        assert refused.code == 1013
        assert refused.error["code"] == "at_capacity"
        assert refused.error["retryable"] is True
        assert later.code == 1000
        assert server.metric("surnn_sessions_rejected_total", code="at_capacity") == 1
        server.wait_until_empty()


def test_a_place_is_free_again_however_often_it_is_taken(run_server, stream_all):
    async def go(server):
        for _ in range(20):
            heard = await stream_all(server, bytes(320))
            assert heard.code == 1000

    with run_server(max_sessions=1) as server:
        asyncio.run(go(server))


def test_more_than_may_wait_is_refused(run_server, call):
    hold = threading.Event()

    async def go(server):
        server.runtimes["fake"].before_run = lambda frames: hold.wait(5)
        async with call(server) as client:
            await client.start()
            for _ in range(21):
                await client.send(bytes(3200))
            await server.until_error("sent_too_fast")
            hold.set()
            return await client.hear_all()

    with run_server(max_buffered_seconds=2) as server:
        heard = asyncio.run(go(server))
        assert heard.code == 4029
        assert heard.error["code"] == "sent_too_fast"
        assert heard.error["message"] == (
            "64000 bytes wait and 3200 more arrived, expected at most 64000 to wait"
        )
        server.wait_until_empty()


def test_more_messages_than_may_wait_are_refused(run_server, call):
    hold = threading.Event()

    async def go(server):
        server.runtimes["fake"].before_run = lambda frames: hold.wait(5)
        async with call(server) as client:
            await client.start()
            await client.send(bytes(3200))
            for i in range(12):
                await client.say(type="marker", id=str(i))
            await server.until_error("sent_too_fast")
            hold.set()
            return await client.hear_all()

    with run_server(max_queued_messages=10) as server:
        assert asyncio.run(go(server)).code == 4029
        server.wait_until_empty()


def test_a_fast_sender_that_stays_within_the_limit_gets_everything(run_server, call, make_pcm):
    async def go(server):
        pcm = make_pcm(1, 6.0)
        async with call(server) as client:
            await client.start(report="events")
            for i in range(0, len(pcm), 16000):
                await client.send(pcm[i : i + 16000])
                await client.say(type="marker", id=str(i))
                while (await client.hear())["type"] != "marker":
                    pass
            await client.say(type="end")
            return await client.hear_all()

    with run_server(max_buffered_seconds=0.5) as server:
        assert asyncio.run(go(server)).messages[-1]["frames"] == 600


def _stalled_reader(server):
    """A client that takes the handshake and then reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    host, port = server.url.removeprefix("http://").split(":")
    sock.connect((host, int(port)))
    sock.sendall(
        f"GET /v1/stream HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert sock.recv(4096).startswith(b"HTTP/1.1 101")
    return sock


def _wait_until_read(server):
    """Nothing waits to be taken in."""
    time.sleep(0.001)
    sessions = [c.session for c in list(server.service.connections)]
    while any(session is not None and session._line.inbox for session in sessions):
        time.sleep(0.001)


def _send_forever(sock, data):
    """Longer than the server keeps a connection whose close is not answered."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        sock.sendall(data)
        time.sleep(0.001)


def _frame(payload: bytes, opcode: int) -> bytes:
    size = len(payload)
    head = bytes([0x80 | opcode]) + (
        bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + size.to_bytes(2, "big")
    )
    return head + bytes(4) + payload


def test_a_client_that_does_not_read_is_cut_off_and_nobody_else_notices(
    run_server, stream_all, make_pcm
):
    # Control characters grow sixfold in JSON: megabytes of answers without computing.
    marker = _frame(json.dumps({"type": "marker", "id": "\1" * 256}).encode(), 1)
    with (
        run_server(max_unsent_results=500, close_timeout_s=0.1) as server,
        _stalled_reader(server) as sock,
    ):
        sock.sendall(_frame(json.dumps({"type": "start", "model": "fake"}).encode(), 1))
        deadline = time.monotonic() + 10
        sent = 0
        while not server.metric("surnn_errors_total", code="slow_reader"):
            assert time.monotonic() < deadline
            sock.sendall(marker * 50)
            sent += 50
            # Sent faster than they are answered, they would be too many without a full network.
            _wait_until_read(server)
        assert sent > 1000, "as long as the network takes messages, none is too many"
        assert asyncio.run(stream_all(server, make_pcm(1))).code == 1000
        server.wait_until_empty()
        with pytest.raises(ConnectionError):
            _send_forever(sock, marker)


def test_shutting_down_says_goodbye(run_server, call, make_pcm):
    async def go(server):
        async with call(server) as a, call(server) as b:
            await a.start()
            await b.start()
            await a.send(make_pcm(1, 0.1))
            while (await a.hear())["type"] != "chunk":
                pass
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))
            heard = [await a.hear_all(), await b.hear_all()]
            await stopping
            return heard

    with run_server() as server:
        for heard in asyncio.run(go(server)):
            assert heard.code == 1001
            assert heard.error["code"] == "draining"
            assert heard.error["retryable"] is True
        assert server.slots == 0
        assert server.service.sessions == 0
        assert server.service.state == "stopped"


def test_another_path_is_no_stream(server, call):
    async def go():
        async with call(server) as _:
            pass

    url, server.ws_url = server.ws_url, server.ws_url + "x"
    try:
        with pytest.raises(InvalidStatus, match="HTTP 403"):
            asyncio.run(go())
    finally:
        server.ws_url = url
