"""A server of two processes, with TLS and API keys: everything that one process does."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import ssl
import sys
import time

import httpx
import numpy as np
import pytest
import soundfile
from tritonclient import http as triton
from websockets.asyncio.client import connect

from surnn_client import NotAllowed, ServerBusy
from surnn_client.aio import connect_async
from surnn_server.apikeys import KeyLimits, Scope, add_key

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="several workers need Linux")
native = pytest.mark.parametrize("faults", ["native"], indirect=True)


@pytest.fixture(scope="module")
def certificate(certify, tmp_path_factory):
    """Paths of a certificate for this machine and of its key."""
    return certify(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secured(prepared, make_servers, certificate, tmp_path_factory):
    """The server and the secrets of its keys; this process trusts its certificate."""
    cert, key = certificate
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    every = [Scope.STREAM, Scope.SCORE, Scope.METRICS]
    secrets = {
        "user": add_key(keys, "user", every, KeyLimits()),
        "few": add_key(keys, "few", [Scope.STREAM], KeyLimits(max_sessions=2)),
        "admin": add_key(keys, "admin", [Scope.ADMIN, Scope.METRICS], KeyLimits()),
    }
    servers = make_servers(prepared("native")[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(cert))
        try:
            server = servers.start(
                workers="2",
                ssl_certfile=str(cert),
                ssl_keyfile=str(key),
                api_keys_file=str(keys),
                max_sessions="12",
            )
            wait_for(lambda: metric(server, secrets["admin"], "surnn_processes") == 2)
            yield server, secrets
        finally:
            servers.stop()


@native
def test_streams_move_between_workers(faults, secured, monkeypatch):
    """A worker is killed: its streams go on, over TLS, with their key, bit for bit."""
    server, secrets = secured
    monkeypatch.setenv("SURNN_API_KEY", secrets["user"])
    sounds = faults.sounds[:6]
    told = [faults.told() for _ in sounds]

    async def go():
        may_end = asyncio.Event()
        streams = [
            asyncio.create_task(faults.live(sound, server.url, t, may_end))
            for sound, t in zip(sounds, told, strict=True)
        ]
        async with asyncio.timeout(300):
            while not all(t.probs for t in told):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            # Wherever the kernel has put the streams: both die, one after the other.
            for member in server.members():
                os.kill(member, signal.SIGKILL)
                while len(server.members()) < 2 or member in server.members():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        may_end.set()
        await asyncio.gather(*streams)

    asyncio.run(go())
    for seen, expected in zip(told, faults.expected, strict=False):
        probs = np.array(seen.probs, np.float32)
        np.testing.assert_array_equal(probs, np.array(expected.probs, np.float32))
        assert seen.events == expected.events
    assert sum(len(t.reconnects) for t in told) > 0


def test_limits_hold_over_both(secured):
    server, secrets = secured

    async def held(stack, key, count):
        for _ in range(count):
            await stack.enter_async_context(
                connect_async(server.url, model="mortal", api_key=secrets[key])
            )

    async def go():
        async with contextlib.AsyncExitStack() as stack:
            await held(stack, "few", 2)
            with pytest.raises(ServerBusy, match="at most 2") as caught:
                await held(stack, "few", 1)
            assert caught.value.code == "quota_exceeded"
            await held(stack, "user", 10)
            with pytest.raises(ServerBusy) as caught:
                await held(stack, "user", 1)
            assert (caught.value.code, caught.value.close_code) == ("at_capacity", 1013)
            name = "surnn_sessions_active"
            assert await asyncio.to_thread(metric, server, secrets["admin"], name) == 12
        with pytest.raises(NotAllowed):
            async with connect_async(server.url, model="mortal", api_key="surnn_none"):
                pass

    asyncio.run(go())


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def metric(server, key, name):
    """Of all processes together, whichever of them answers."""
    url = server.url.replace("wss", "https")
    values = set()
    for _ in range(4):
        page = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {key}"}).text
        lines = [line for line in page.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        values.add(sum(float(line.rpartition(" ")[2]) for line in lines))
    return values.pop() if len(values) == 1 else None


def test_jobs_sequences_and_tokens(secured, certificate):
    server, secrets = secured
    url = server.url.replace("wss", "https")
    bearer = {"Authorization": f"Bearer {secrets['user']}"}
    samples = np.random.default_rng(1).uniform(-1, 1, 16_000).astype(np.float32)
    out = io.BytesIO()
    soundfile.write(out, samples, 16_000, format="WAV", subtype="FLOAT")

    # A job is found whichever process is asked: every request opens a connection of its own.
    made = httpx.post(
        f"{url}/v1/jobs?model=mortal", headers=bearer, files={"files": ("a.wav", out.getvalue())}
    )
    assert made.status_code == 202, made.text
    job = made.json()["id"]
    wait_for(lambda: httpx.get(f"{url}/v1/jobs/{job}", headers=bearer).json()["state"] == "done")
    assert httpx.get(f"{url}/v1/jobs/{job}").status_code == 401

    # So is a sequence, of an unmodified Triton client.
    def infer(part, **flags):
        client = triton.InferenceServerClient(
            url.removeprefix("https://"),
            ssl=True,
            ssl_context_factory=lambda: ssl.create_default_context(cafile=str(certificate[0])),
        )
        with contextlib.closing(client):
            tensor = triton.InferInput("audio", list(part.shape), "FP32")
            tensor.set_data_from_numpy(part)
            return client.infer(
                "mortal", [tensor], sequence_id=7, headers=dict(bearer), **flags
            ).as_numpy("probabilities")

    parts = np.split(samples, 8)
    heard = [
        infer(part, sequence_start=i == 0, sequence_end=i == 7) for i, part in enumerate(parts)
    ]
    whole = infer_whole(url, bearer, samples)
    np.testing.assert_array_equal(np.concatenate([h.reshape(-1) for h in heard]), whole)

    # A browser's token opens a stream at either.
    for _ in range(4):
        token = httpx.post(f"{url}/v1/tokens", headers=bearer).json()["token"]
        asyncio.run(one_stream(server.url, token))


def infer_whole(url, bearer, samples):
    body = {
        "inputs": [
            {"name": "audio", "datatype": "FP32", "shape": [len(samples)], "data": samples.tolist()}
        ],
    }
    answer = httpx.post(f"{url}/v2/models/mortal/infer", headers=bearer, json=body)
    assert answer.status_code == 200, answer.text
    (probs,) = [o for o in answer.json()["outputs"] if o["name"] == "probabilities"]
    return np.array(probs["data"], np.float32)


async def one_stream(url, token):
    async with connect(f"{url}/v1/stream?token={token}", compression=None) as websocket:
        await websocket.send('{"type": "start", "model": "mortal"}')
        assert '"ready"' in str(await websocket.recv(decode=True))
