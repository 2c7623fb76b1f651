"""For those who run the server: is it alive, is it ready, how does it do."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from surnn_server.codes import ErrorCode, Refusal
from surnn_server.dependencies import ServiceDep
from surnn_server.errors import error_response, responses
from surnn_server.service import ServiceState

__all__ = ["router"]

router = APIRouter(tags=["operation"])


class Health(BaseModel):
    """The process answers."""

    status: str = Field(default="ok", examples=["ok"])


class Readiness(BaseModel):
    """The server takes new streams."""

    status: ServiceState = Field(examples=[ServiceState.READY])
    models: list[str] | None = Field(
        default=None,
        description="This and what follows only with a key, where keys are needed",
        examples=[["activity", "vad"]],
    )
    sessions: int | None = Field(default=None, description="Streams now", examples=[12])
    max_sessions: int | None = Field(default=None, examples=[1024])
    degraded: list[str] | None = Field(
        default=None,
        description="Models that lost their GPU and run on the CPU since",
        examples=[[]],
    )


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Health:
    """For liveness probes: answers whenever the event loop runs."""
    return Health()


@router.get(
    "/readyz",
    summary="May clients come?",
    response_model=Readiness,
    response_model_exclude_none=True,
    responses=responses(ErrorCode.DRAINING, ErrorCode.INTERNAL),
)
async def readyz(request: Request, service: ServiceDep) -> Readiness | JSONResponse:
    """For readiness probes: 503 while the server starts or drains, or when a worker died."""
    if service.state is not ServiceState.READY:
        return error_response(ErrorCode.DRAINING, f"the server is {service.state.value}")
    if not service.ready:
        return error_response(ErrorCode.INTERNAL, "a model's worker is dead", status=503)
    if service.membership is not None and (missing := service.membership.missing):
        return error_response(
            ErrorCode.DRAINING,
            f"the server is starting: {missing} of {service.membership.count} workers are missing",
        )
    headers = request.headers
    try:
        service.authenticator.identify(headers.get("authorization"), headers.get("x-api-key"))
    except Refusal:
        return Readiness(status=service.state)
    return Readiness(
        status=service.state,
        models=sorted(service.models),
        sessions=service.all_sessions,
        max_sessions=service.settings.max_sessions,
        degraded=sorted(service.degraded),
    )


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {
            "content": {
                "text/plain": {"example": 'surnn_sessions_active{model="vad"} 12.0\n'},
            }
        }
    },
)
async def metrics(service: ServiceDep) -> Response:
    """Sessions, slots, batches, latencies, open rates, updates done and skipped, errors."""
    return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)
