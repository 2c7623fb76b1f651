"""From the config of a task on audio to the spec of its model."""

from __future__ import annotations

from typing import Any

from surnn.spec import ModelKind, ModelSpec
from surnn.train.config import Config

__all__ = ["audio_spec"]


def audio_spec(config: Config, **changes: Any) -> ModelSpec:
    """The model that a config describes; `changes` are fields of `ModelSpec`."""
    model = config.model
    fields: dict[str, Any] = {
        "name": model.name,
        "version": model.version,
        "kind": ModelKind.AUDIO,
        "description": model.description,
        "sample_rate": model.sample_rate,
        "hop": model.hop,
        "frontend": model.frontend,
        "encoder": model.encoder,
        "lookahead": model.lookahead,
        "layers": model.layers,
        "labels": model.labels,
        "head": model.head,
        "events": model.events,
        "licence": model.licence,
    }
    return ModelSpec(**(fields | changes))
