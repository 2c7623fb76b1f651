"""Running the server."""

from __future__ import annotations

import logging

import uvicorn
from fastapi import FastAPI

from surnn_server.app import create_app
from surnn_server.dependencies import service_of
from surnn_server.service import load_models
from surnn_server.settings import Settings
from surnn_server.transport import DrainingServer, StreamProtocol

__all__ = ["make_server", "run"]


def run(settings: Settings | None = None) -> None:
    """Serve until interrupted. Raises `UnknownModel` or `CorruptModel` before it listens."""
    settings = settings or Settings()
    logging.basicConfig(
        level=settings.log_level.value.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    server = make_server(create_app(settings, load_models(settings.models)), settings)
    server.run()
    if not server.started:
        raise SystemExit(3)


def make_server(app: FastAPI, settings: Settings) -> DrainingServer:
    """A uvicorn server set up for streams."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ws=StreamProtocol,
        # PCM hardly compresses, and a compressor holds 50 KB for every connection.
        ws_per_message_deflate=False,
        # Up to twice the limit the client is told with an `error`; above, uvicorn just closes.
        ws_max_size=2 * settings.max_message_bytes,
        ws_ping_interval=settings.ping_interval_s,
        ws_ping_timeout=settings.ping_timeout_s,
        log_config=None,
        log_level=settings.log_level.value,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout_s)),
    )
    return DrainingServer(config, service_of(app).drain)
