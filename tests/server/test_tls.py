"""TLS of a server that runs, and certificates that it cannot use."""

from __future__ import annotations

import asyncio
import ssl

import httpx
import pytest

from surnn.errors import InvalidConfig
from surnn_client import Client, ConnectionFailed, connect
from surnn_server import Settings, create_app
from surnn_server.serve import make_server


async def _closed(call, server, trusted):
    """The close code of a stream that ends at once."""
    async with call(server, ssl=trusted) as client:
        await client.start()
        await client.say(type="end")
        return (await client.hear_all()).code


def test_streams_and_requests_go_over_tls(certify, run_server, tmp_path, call, monkeypatch):
    certify(tmp_path, b"open sesame")
    with run_server(
        ssl_certfile=str(tmp_path / "cert.pem"),
        ssl_keyfile=str(tmp_path / "key.pem"),
        ssl_keyfile_password="open sesame",
    ) as server:
        url = server.url.replace("http://", "https://")
        trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        assert httpx.get(f"{url}/healthz", verify=trusted).json() == {"status": "ok"}
        server.ws_url = server.ws_url.replace("ws://", "wss://")
        assert asyncio.run(_closed(call, server, trusted)) == 1000
        with pytest.raises(ConnectionFailed), connect(url, model="fake"):
            pass
        with pytest.raises(ConnectionFailed), Client(url) as client:
            client.models()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        with connect(url, model="fake") as stream:
            assert stream.end().seconds == 0
        with Client(url) as client:
            assert len(client.models()) == 2


def test_certificates_that_cannot_be_used_are_named(certify, tmp_path):
    certify(tmp_path, b"open sesame")
    app = create_app(Settings(), {})
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    with pytest.raises(InvalidConfig, match=r"^certificate 'none\.pem'.* \(No such file"):
        make_server(app, Settings(ssl_certfile="none.pem", ssl_keyfile=key))
    wrong = Settings(ssl_certfile=cert, ssl_keyfile=key, ssl_keyfile_password="close")
    with pytest.raises(InvalidConfig, match=r"key\.pem' cannot be used \(.+\), expected PEM"):
        make_server(app, wrong)
