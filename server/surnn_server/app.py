"""The web application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI

import surnn
from surnn_server.access import AccessControl
from surnn_server.cluster.forwarding import Forwarding
from surnn_server.cluster.membership import Membership
from surnn_server.dependencies import jobs_of, service_of
from surnn_server.errors import add_handlers
from surnn_server.jobs.office import Jobs
from surnn_server.pace import BodyPace
from surnn_server.routes import health, jobs, score, sessions, stream, tokens, v2
from surnn_server.routes import models as models_routes
from surnn_server.service import Service
from surnn_server.settings import Settings

__all__ = ["create_app"]

_DESCRIPTION = """Streaming inference for selective-update RNNs.

Streams go over the WebSocket `/v1/stream` (see PROTOCOL.md), files over `POST /v1/score`. Every
error has the body `{"error": {"code": "...", "message": "..."}}`."""


def create_app(
    settings: Settings | None = None,
    models: Mapping[str, surnn.Model] | None = None,
    membership: Membership | None = None,
) -> FastAPI:
    """The server as an ASGI application.

    Args:
        settings: from the environment when None.
        models: to serve, by name; those that the settings name when None.
        membership: among the processes of one server; None: it is the only one.
    """
    app = FastAPI(
        title="surnn",
        version=surnn.__version__,
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=_lifespan,
        # Redirecting reads the query as UTF-8, which it need not be.
        redirect_slashes=False,
    )
    service = Service(settings or Settings(), models, membership)
    app.state.service = service
    app.state.jobs = Jobs(service)
    app.state.v2 = v2.V2(service)
    add_handlers(app)
    if service.peers is not None:
        app.add_middleware(Forwarding, peers=service.peers)
    app.add_middleware(
        BodyPace,
        grace_s=service.settings.upload_grace_s,
        rate=service.settings.min_upload_rate,
    )
    app.add_middleware(
        AccessControl,
        authenticator=service.authenticator,
        settings=service.settings,
        metrics=service.metrics,
        membership=membership,
    )
    for module in (stream, tokens, score, jobs, models_routes, sessions, health, v2):
        app.include_router(module.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service, kept = service_of(app), jobs_of(app)
    await service.start()
    try:
        await kept.start()
        yield
    finally:
        # First: jobs are computed by what the service stops.
        await kept.stop()
        await service.stop()
