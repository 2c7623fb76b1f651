"""What `/v1/score` and `/v1/jobs` ask of a request alike."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from pydantic import TypeAdapter, ValidationError

from surnn_server.codes import ErrorCode, Refusal

__all__ = ["FILES_BODY", "ModelQuery", "SampleRateQuery", "ThresholdsQuery", "parse_thresholds"]

_THRESHOLDS: TypeAdapter[dict[str, dict[str, float]]] = TypeAdapter(dict[str, dict[str, float]])

ModelQuery = Annotated[str, Query(description="Name of a served model", examples=["vad"])]
ThresholdsQuery = Annotated[
    str | None,
    Query(
        description="Changes to the model's event rules, as JSON",
        examples=['{"speech": {"on": 0.6}}'],
    ),
]
SampleRateQuery = Annotated[
    int | None,
    Query(gt=0, description="Samples per second of files that do not say, such as CSV"),
]
FILES_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["files"],
                "properties": {
                    "files": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                        "description": "WAV, FLAC, Ogg, Opus, MP3; for sensors also CSV and NPY",
                    }
                },
            }
        }
    },
}


def parse_thresholds(text: str | None) -> dict[str, dict[str, float]]:
    """Changes to event rules, from a query. Raises `Refusal`."""
    if text is None:
        return {}
    try:
        return _THRESHOLDS.validate_json(text)
    except ValidationError as error:
        raise Refusal(
            ErrorCode.INVALID_CONFIG,
            f'thresholds is {text[:80]!r}, expected JSON like {{"speech": {{"on": 0.6}}}}',
        ) from error
