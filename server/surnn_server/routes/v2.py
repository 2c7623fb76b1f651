"""`/v2`: the Open Inference Protocol (see V2.md)."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request, Response

from surnn import Model
from surnn_server.access import principal_of
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.dependencies import ServiceDep
from surnn_server.routes.disconnect import unless_disconnected
from surnn_server.service import Service, ServiceState
from surnn_server.v2.bodies import Budget, read_body
from surnn_server.v2.errors import V2Route
from surnn_server.v2.inference import Inference
from surnn_server.v2.inputs import flags, raw_request
from surnn_server.v2.interface import model_config, model_metadata, server_metadata
from surnn_server.v2.tensors import HEADER_LENGTH, InferRequest, parse_request

__all__ = ["V2", "router"]

# The protocol has a description of its own, with errors of its own shape.
router = APIRouter(prefix="/v2", route_class=V2Route, include_in_schema=False)

_OFF_LOOP = 1 << 16
"""Parsing fewer bytes than this takes less time than a thread costs."""


class V2:
    """What the routes of one app share."""

    def __init__(self, service: Service) -> None:
        self.inference = Inference(service)
        self.budget = Budget(service.settings.max_infer_total_bytes)


def _v2(request: Request) -> V2:
    v2 = request.app.state.v2
    assert isinstance(v2, V2), "the app was not made by create_app"
    return v2


V2Dep = Annotated[V2, Depends(_v2)]


@router.get("/health/live")
async def live() -> dict[str, bool]:
    """The process answers."""
    return {"live": True}


@router.get("/health/ready")
async def ready(service: ServiceDep) -> Response:
    """Every model can be used."""
    return _ready({}, service.ready)


@router.get("")
@router.get("/", include_in_schema=False)
async def metadata() -> dict[str, Any]:
    """What this server is, and which extensions it knows."""
    return server_metadata()


@router.get("/models/stats")
async def all_stats(service: ServiceDep, v2: V2Dep) -> dict[str, Any]:
    """How the requests of every model went."""
    return {"model_stats": [_stats(v2, model) for _, model in sorted(service.models.items())]}


@router.get("/models/{name}")
@router.get("/models/{name}/versions/{version}")
async def one_model(service: ServiceDep, name: str, version: str = "") -> dict[str, Any]:
    """A model's tensors."""
    model = _find(service, name, version)
    return model_metadata(model.spec, _platform(model))


@router.get("/models/{name}/ready")
@router.get("/models/{name}/versions/{version}/ready")
async def model_ready(service: ServiceDep, name: str, version: str = "") -> Response:
    """The model can be used."""
    _find(service, name, version)
    up = service.state is ServiceState.READY and service.workers[name].alive
    return _ready({"name": name}, up)


@router.get("/models/{name}/config")
@router.get("/models/{name}/versions/{version}/config")
async def config(service: ServiceDep, name: str, version: str = "") -> dict[str, Any]:
    """The model's configuration, as Triton writes it."""
    model = _find(service, name, version)
    idle_timeout_s = service.settings.sequence_idle_timeout_s
    return model_config(model.spec, _platform(model), idle_timeout_s)


@router.get("/models/{name}/stats")
@router.get("/models/{name}/versions/{version}/stats")
async def model_stats(
    service: ServiceDep, v2: V2Dep, name: str, version: str = ""
) -> dict[str, Any]:
    """How the requests of one model went."""
    return {"model_stats": [_stats(v2, _find(service, name, version))]}


@router.post("/repository/index")
async def index(service: ServiceDep) -> Response:
    """All models."""
    models = [
        {
            "name": name,
            "version": model.spec.version,
            "state": "READY" if name in service.workers else "UNAVAILABLE",
            "reason": "",
        }
        for name, model in sorted(service.models.items())
    ]
    return _json(models)


@router.post("/models/{name}/infer")
@router.post("/models/{name}/versions/{version}/infer")
async def infer(
    request: Request, service: ServiceDep, v2: V2Dep, name: str, version: str = ""
) -> Response:
    """Run a model on a whole signal, or on the next chunk of a sequence."""
    service.check_accepting()
    model = _find(service, name, version)
    async with read_body(request, service.settings.max_infer_bytes, v2.budget) as body:
        if len(body) < _OFF_LOOP:
            parsed = _parse(model, request, body)
        else:
            parsed = await asyncio.to_thread(_parse, model, request, body)
        if (owner := _owner(request, service, name, parsed)) is not None:
            assert service.peers is not None, "another member owns it"
            there = service.peers.answer(owner, request.scope, body)
            return await unless_disconnected(request, there)
        work = v2.inference.infer(name, parsed, principal_of(request))
        content, json_length = await unless_disconnected(request, work)
    if json_length is None:
        return Response(content, media_type="application/json")
    return Response(
        content,
        media_type="application/octet-stream",
        headers={HEADER_LENGTH: str(json_length)},
    )


@router.api_route(
    "/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False
)
async def nothing(request: Request, rest: str) -> Response:
    """Everything else, in the protocol's own words."""
    path = request.scope["path"][:200]
    raise Refusal(ErrorCode.NOT_FOUND, f"no resource {request.method} {path!r}")


def _find(service: Service, name: str, version: str) -> Model:
    model = service.find(name)
    if version not in ("", model.spec.version):
        raise Refusal(
            ErrorCode.UNKNOWN_MODEL,
            f"no version {version[:40]!r} of model {name!r}, expected {model.spec.version!r}",
        )
    return model


def _parse(model: Model, request: Request, body: bytes) -> InferRequest:
    header = request.headers.get(HEADER_LENGTH)
    if header is None:
        return parse_request(body, None)
    if not header.isdecimal() or len(header) > 12:
        raise Refusal(
            ErrorCode.INVALID_REQUEST, f"{HEADER_LENGTH} is {header[:40]!r}, expected a number"
        )
    return parse_request(body, int(header)) if int(header) else raw_request(model.spec, body)


def _owner(request: Request, service: Service, model: str, parsed: InferRequest) -> int | None:
    """The other member that keeps the request's sequence, if there is one."""
    member = service.membership
    if member is None or member.is_private(request.scope) or (id := flags(parsed).id) is None:
        return None
    owner = member.sequence_owner(model, id)
    return None if owner == member.number else owner


def _platform(model: Model) -> str:
    return "onnx_onnxv1" if model.runtime.name == "onnx" else f"surnn_{model.runtime.name}"


def _stats(v2: V2, model: Model) -> dict[str, Any]:
    spec = model.spec
    return v2.inference.stats_of(spec.name).record(spec.name, spec.version)


def _ready(head: dict[str, Any], up: bool) -> Response:
    if up:
        return _json({**head, "ready": True})
    return _json({**head, "ready": False, "error": "not ready, expected to be soon"}, 503)


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
