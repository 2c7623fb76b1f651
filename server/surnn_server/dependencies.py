"""How routes reach what their app owns."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Request

from surnn_server.jobs.office import Jobs
from surnn_server.service import Service

__all__ = ["JobsDep", "ServiceDep", "jobs_of", "service_of"]


def service_of(app: FastAPI) -> Service:
    """The service of an app made by `create_app`."""
    service = app.state.service
    assert isinstance(service, Service), "the app was not made by create_app"
    return service


def jobs_of(app: FastAPI) -> Jobs:
    """The jobs of an app made by `create_app`."""
    jobs = app.state.jobs
    assert isinstance(jobs, Jobs), "the app was not made by create_app"
    return jobs


def _service(request: Request) -> Service:
    return service_of(request.app)


ServiceDep = Annotated[Service, Depends(_service)]


def _jobs(request: Request) -> Jobs:
    return jobs_of(request.app)


JobsDep = Annotated[Jobs, Depends(_jobs)]
