"""Running the server."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from surnn.errors import InvalidConfig
from surnn_server.app import create_app
from surnn_server.dependencies import service_of
from surnn_server.heads import http_protocol
from surnn_server.logs import set_up_logs, without_addresses
from surnn_server.origins import is_loopback
from surnn_server.repository import load_models
from surnn_server.settings import Settings
from surnn_server.transport import DrainingServer, StreamProtocol

__all__ = ["exposure", "make_server", "prepared", "run", "settle"]

log = logging.getLogger(__name__)


def run(settings: Settings | None = None) -> None:
    """Serve until interrupted.

    Raises `UnknownModel`, `CorruptModel` or `InvalidConfig` before it listens.
    """
    settings = settings or Settings()
    set_up_logs(settings)
    _make_data_dir(settings)
    for warning in exposure(settings):
        log.warning("%s", warning)
    if settings.workers > 1:
        from surnn_server.cluster.supervisor import supervise

        supervise(settings)
        return
    models = None if settings.models_dir else load_models(settings.models)
    server = make_server(prepared(create_app(settings, models)), settings)
    server.on_started = settle
    server.run()
    if not server.started:
        raise SystemExit(3)


def _make_data_dir(settings: Settings) -> None:
    if not settings.data_dir:
        return
    try:
        Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidConfig(
            f"data_dir is {settings.data_dir!r} ({error.strerror}), expected a folder to write in"
        ) from error


def prepared(app: FastAPI) -> FastAPI:
    """With its OpenAPI made: whoever asked for it first would hold up every stream."""
    app.openapi()
    return app


async def settle() -> None:
    """Once a process serves: what it has loaded by now stays for as long as it lives.

    A full collection of garbage would look at all of it again and again, and hold up every stream
    for tens of milliseconds.
    """
    gc.collect()
    gc.freeze()


def exposure(settings: Settings) -> list[str]:
    """What strangers could do to a server with these settings."""
    if is_loopback(settings.host):
        return []
    warnings = []
    if not settings.api_keys_file:
        warnings.append(
            f"OPEN TO ANYONE: listening on {settings.host} without API keys. Whoever reaches this "
            "address can use the server. Make a key with `surnn apikey` and set "
            "SURNN_API_KEYS_FILE, or listen on 127.0.0.1"
        )
    elif not settings.ssl_certfile:
        warnings.append(
            f"listening on {settings.host} without TLS: API keys and audio travel unencrypted "
            "unless a proxy in front adds TLS. Set SURNN_SSL_CERTFILE and SURNN_SSL_KEYFILE"
        )
    return warnings


def make_server(app: FastAPI, settings: Settings) -> DrainingServer:
    """A uvicorn server set up for streams. Raises `InvalidConfig` about certificates."""
    logging.getLogger("uvicorn.error").addFilter(without_addresses)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=http_protocol(settings.head_timeout_s),
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
        ssl_certfile=settings.ssl_certfile or None,
        ssl_keyfile=settings.ssl_keyfile or None,
        ssl_keyfile_password=settings.ssl_keyfile_password.get_secret_value() or None,
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout_s)),
    )
    try:
        config.load()
    except OSError as error:  # of the TLS library too
        raise InvalidConfig(
            f"certificate {settings.ssl_certfile!r} with key {settings.ssl_keyfile!r} cannot be "
            f"used ({error.strerror or error}), expected PEM files that belong together"
        ) from error
    return DrainingServer(config, service_of(app).drain)
