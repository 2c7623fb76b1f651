"""How routes reach what their app owns."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Request

from surnn_server.service import Service

__all__ = ["ServiceDep", "service_of"]


def service_of(app: FastAPI) -> Service:
    """The service of an app made by `create_app`."""
    service = app.state.service
    assert isinstance(service, Service), "the app was not made by create_app"
    return service


def _service(request: Request) -> Service:
    return service_of(request.app)


ServiceDep = Annotated[Service, Depends(_service)]
