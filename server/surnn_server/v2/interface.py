"""What a model looks like from outside: its tensors, its metadata, its Triton configuration."""

from __future__ import annotations

from typing import Any

import surnn
from surnn import ModelSpec
from surnn.spec import ModelKind

__all__ = [
    "EVENTS",
    "OPEN_RATE",
    "OUTPUTS",
    "PROBABILITIES",
    "input_name",
    "model_config",
    "model_metadata",
    "server_metadata",
]

PROBABILITIES, OPEN_RATE, EVENTS = "probabilities", "open_rate", "events"
OUTPUTS = (PROBABILITIES, OPEN_RATE, EVENTS)
EXTENSIONS = (
    "sequence",
    "sequence(string_id)",
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "statistics",
)


def input_name(spec: ModelSpec) -> str:
    """What the model's input is called."""
    return "audio" if spec.kind is ModelKind.AUDIO else "samples"


def server_metadata() -> dict[str, Any]:
    """`GET /v2`."""
    return {"name": "surnn", "version": surnn.__version__, "extensions": EXTENSIONS}


def model_metadata(spec: ModelSpec, platform: str) -> dict[str, Any]:
    """`GET /v2/models/{name}`."""
    return {
        "name": spec.name,
        "versions": [spec.version],
        "platform": platform,
        "inputs": [
            {"name": input_name(spec), "datatype": "FP32", "shape": _input_shape(spec)},
        ],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": shape}
            for name, datatype, shape in _outputs(spec)
        ],
    }


def model_config(spec: ModelSpec, platform: str, idle_timeout_s: float) -> dict[str, Any]:
    """`GET /v2/models/{name}/config`: what Triton's clients look for in it."""
    return {
        "name": spec.name,
        "platform": platform,
        "backend": "surnn",
        "version_policy": {"latest": {"num_versions": 1}},
        # Requests have no batch: sequences are batched on the server.
        "max_batch_size": 0,
        "input": [
            {"name": input_name(spec), "data_type": "TYPE_FP32", "dims": _input_shape(spec)},
        ],
        "output": [
            {
                "name": name,
                "data_type": "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}",
                "dims": shape,
            }
            for name, datatype, shape in _outputs(spec)
        ],
        "sequence_batching": {
            "max_sequence_idle_microseconds": round(idle_timeout_s * 1e6),
            "oldest": {},
        },
        "parameters": {
            "sample_rate": {"string_value": str(spec.sample_rate)},
            "hop": {"string_value": str(spec.hop)},
            "labels": {"string_value": ",".join(spec.labels)},
        },
    }


def _input_shape(spec: ModelSpec) -> list[int]:
    return [1, -1] if spec.kind is ModelKind.AUDIO else [1, -1, spec.channels]


def _outputs(spec: ModelSpec) -> list[tuple[str, str, list[int]]]:
    return [
        (PROBABILITIES, "FP32", [1, -1, len(spec.labels)]),
        (OPEN_RATE, "FP32", [1, -1, len(spec.layers)]),
        (EVENTS, "BYTES", [1, -1]),
    ]
