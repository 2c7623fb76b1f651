"""Clients that only take up room: they say nothing, or say it one byte at a time."""

from __future__ import annotations

import asyncio
import socket
import time

import httpx
import pytest

from surnn_server import heads


def _place(server):
    host, port = server.url.removeprefix("http://").split(":")
    return host, int(port)


def _closed_after(sock):
    """Seconds until the server has closed the connection, and what it said."""
    began, said = time.monotonic(), b""
    sock.settimeout(5)
    try:
        while data := sock.recv(65536):
            said += data
    except ConnectionError:
        pass
    return time.monotonic() - began, said


def test_a_connection_that_never_starts_is_closed(run_server, call):
    async def go(server):
        async with call(server) as waits, call(server) as starts:
            await starts.start()
            assert server.metric("surnn_connections_unstarted") == 1
            heard = await waits.hear_all()
            await asyncio.sleep(0.1)
            await starts.say(type="end")
            return heard, await starts.hear_all()

    with run_server(start_timeout_s=0.1) as server:
        heard, other = asyncio.run(go(server))
        assert (heard.code, heard.error["code"]) == (4030, "start_timeout")
        assert heard.error["message"] == "no 'start' came for 0.1 s"
        assert heard.error["retryable"] is False
        assert other.code == 1000
        server.wait_until_empty()
        assert server.metric("surnn_connections_unstarted") == 0
        assert server.metric("surnn_sessions_rejected_total", code="start_timeout") == 1


def test_only_so_many_connections_may_wait_with_their_start(run_server, call):
    async def go(server):
        async with call(server) as a, call(server) as b:
            async with call(server) as c:
                refused = await c.hear_all()
            await a.start()
            async with call(server) as d:
                await d.start()
            await b.start()
            return refused

    with run_server(max_unstarted=2) as server:
        refused = asyncio.run(go(server))
        assert (refused.code, refused.error["code"]) == (1013, "at_capacity")
        assert refused.error["message"].startswith("2 connections have not sent 'start'")
        assert refused.error["retryable"] is True
        server.wait_until_empty()


def _drip(sock, data):
    for byte in data:
        sock.sendall(bytes([byte]))
        time.sleep(0.02)


def _pour(sock, data, times):
    for _ in range(times):
        sock.sendall(data)


BODY = (
    b"POST /v1/%s HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: %s\r\nContent-Length: 99999\r\n\r\n--b\r\n"
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"score?model=fake", b"multipart/form-data; boundary=b"),
        (b"jobs?model=fake", b"multipart/form-data; boundary=b"),
        (b"sessions/state", b"application/octet-stream"),
    ],
)
def test_a_body_that_drips_is_refused_and_its_place_is_free(run_server, path, kind):
    with (
        run_server(upload_grace_s=0.2, score_queue=0, job_queue=1) as server,
        socket.create_connection(_place(server)) as sock,
    ):
        sock.sendall(BODY % (path, kind))
        # More bytes, but far too few.
        time.sleep(0.1)
        sock.sendall(b"x")
        head = sock.recv(65536)
        assert head.startswith(b"HTTP/1.1 408 ")
        assert b"upload_too_slow" in head + sock.recv(65536 if b"}" not in head else 0)
        files = {"files": ("a.wav", b"x")}
        assert httpx.post(f"{server.url}/v1/score?model=fake", files=files).status_code == 422


def test_a_body_that_drips_is_refused_under_v2(run_server):
    with (
        run_server(upload_grace_s=0.1) as server,
        socket.create_connection(_place(server)) as sock,
    ):
        sock.sendall(BODY.replace(b"/v1/%s", b"/v2/models/%s") % (b"fake/infer", b"text/plain"))
        assert sock.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_is_large_and_steady_has_the_time_that_it_needs(run_server):
    def parts():
        for _ in range(10):
            time.sleep(0.05)
            yield bytes(1000)

    with run_server(upload_grace_s=0.2, min_upload_rate=5000) as server:
        url = f"{server.url}/v1/sessions/state"
        kind = {"Content-Type": "application/octet-stream"}
        answer = httpx.post(url, content=parts(), headers=kind)
        assert answer.json()["error"]["code"] == "invalid_token"


def test_an_answer_that_takes_long_is_no_slow_body(run_server):
    with run_server(upload_grace_s=0.1) as server:
        server.runtimes["fake"].before_run = lambda frames: time.sleep(0.3)
        tensor = {"name": "audio", "datatype": "FP32", "shape": [320], "data": [0.5] * 320}
        answer = httpx.post(f"{server.url}/v2/models/fake/infer", json={"inputs": [tensor]})
        assert answer.status_code == 200


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: "])
def test_a_head_that_does_not_come_is_not_waited_for(run_server, sent):
    with (
        run_server(head_timeout_s=0.1) as server,
        socket.create_connection(_place(server)) as sock,
    ):
        sock.sendall(sent)
        seconds, said = _closed_after(sock)
        assert seconds < 4
        assert said == b""


def test_a_head_that_drips_is_not_waited_for_on_a_used_connection_either(run_server):
    with (
        run_server(head_timeout_s=0.2) as server,
        socket.create_connection(_place(server)) as sock,
    ):
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            _drip(sock, b"GET /healthz HTTP/1.1\r\nHost: " + b"x" * 100)
        assert time.monotonic() - began < 2


def test_a_head_without_end_is_cut_off(server):
    with socket.create_connection(_place(server)) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        line = b"X-A: " + b"x" * 1000 + b"\r\n"
        with pytest.raises(ConnectionError):
            _pour(sock, line, 100 * heads.MAX_HEAD_BYTES // len(line))


def test_whoever_goes_on_sending_after_an_early_answer_is_cut_off(run_server):
    with (
        run_server(head_timeout_s=0.2, max_upload_bytes=1024) as server,
        socket.create_connection(_place(server)) as sock,
    ):
        kind = b"multipart/form-data; boundary=b"
        sock.sendall(BODY % (b"score?model=fake", kind))
        assert sock.recv(65536).startswith(b"HTTP/1.1 413 ")
        with pytest.raises(ConnectionError):
            _drip(sock, b"x" * 100)


def test_streams_and_requests_outlive_the_wait_for_a_head(run_server, call):
    async def go(server):
        async with call(server) as client:
            await client.start()
            await asyncio.sleep(0.3)
            await client.say(type="end")
            return await client.hear_all()

    with run_server(head_timeout_s=0.1) as server:
        assert asyncio.run(go(server)).code == 1000
        server.runtimes["fake"].before_run = lambda frames: time.sleep(0.3)
        tensor = {"name": "audio", "datatype": "FP32", "shape": [320], "data": [0.5] * 320}
        answer = httpx.post(f"{server.url}/v2/models/fake/infer", json={"inputs": [tensor]})
        assert answer.status_code == 200
