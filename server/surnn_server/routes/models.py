"""`/v1/models`: what is served."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from surnn import Model, ModelSpec
from surnn.spec import Cell, ModelKind
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.dependencies import ServiceDep
from surnn_server.errors import responses

__all__ = ["router"]

router = APIRouter(prefix="/v1/models", tags=["models"])


class ModelSummary(BaseModel):
    """What a client needs to choose a model."""

    name: str = Field(examples=["vad"])
    version: str = Field(examples=["1"])
    kind: ModelKind = Field(examples=[ModelKind.AUDIO])
    description: str = Field(examples=["Voice activity"])
    labels: list[str] = Field(examples=[["speech"]])
    sample_rate: int = Field(examples=[16000])
    hop: int = Field(description="Samples per frame", examples=[160])
    channels: int = Field(examples=[1])
    layers: list[int] = Field(description="Neurons of each layer", examples=[[64, 64]])
    cells: list[Cell] = Field(
        description="Recurrent cell of each layer", examples=[["sugru", "sugru"]]
    )
    licence: str = Field(examples=["Apache-2.0"])
    state_bytes: int = Field(description="What one stream remembers", examples=[1480])


class ModelList(BaseModel):
    """All served models."""

    models: list[ModelSummary]


class ModelDetail(ModelSummary):
    """Everything that a model says about itself."""

    runtime: str = Field(examples=["onnx"])
    spec: ModelSpec


def _fields(model: Model) -> dict[str, object]:
    spec = model.spec
    return {
        **spec.model_dump(
            include={
                "name",
                "version",
                "kind",
                "description",
                "labels",
                "sample_rate",
                "hop",
                "channels",
                "licence",
            }
        ),
        "layers": [layer.hidden for layer in spec.layers],
        "cells": [layer.cell for layer in spec.layers],
        "state_bytes": sum(state.nbytes for state in spec.states),
    }


@router.get("", summary="Models that are served")
async def list_models(service: ServiceDep) -> ModelList:
    """In order of their names."""
    models = [ModelSummary.model_validate(_fields(m)) for _, m in sorted(service.models.items())]
    return ModelList(models=models)


class ReloadResult(BaseModel):
    """What a look into the models folder changed."""

    loaded: dict[str, str] = Field(
        description="Versions by name that new streams use from now on", examples=[{"vad": "2"}]
    )
    refused: dict[str, str] = Field(
        description="Why files were not taken; what was served before goes on",
        examples=[{"siren": "model 'siren' is damaged, expected an ONNX model"}],
    )


@router.post(
    "/reload",
    summary="Look for new models",
    responses=responses(ErrorCode.UNAUTHORISED, ErrorCode.FORBIDDEN, ErrorCode.INVALID_CONFIG),
)
async def reload(service: ServiceDep) -> ReloadResult:
    """Looks into the models folder now; new versions are warm when this returns.

    Streams that run finish on the version that they began with.
    """
    service.check_accepting()
    if service.folder is None:
        raise Refusal(
            ErrorCode.INVALID_CONFIG, "the server has no models folder, expected SURNN_MODELS_DIR"
        )
    result = await service.folder.look()
    return ReloadResult(loaded=result.loaded, refused=result.refused)


@router.get(
    "/{name}",
    summary="One model",
    responses=responses(ErrorCode.UNKNOWN_MODEL, ErrorCode.INVALID_REQUEST),
)
async def get_model(
    service: ServiceDep, name: Annotated[str, Path(examples=["vad"])]
) -> ModelDetail:
    """Its spec: rate, labels, layers, switches, event rules, training, measured figures."""
    model = service.find(name)
    return ModelDetail.model_validate(
        {**_fields(model), "runtime": model.runtime.name, "spec": model.spec}
    )
