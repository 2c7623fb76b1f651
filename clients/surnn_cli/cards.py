"""A model's spec as plain values: what `surnn models` and `surnn info` tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surnn import Model, ModelSpec

__all__ = ["model_record", "number", "open_rate", "state_bytes"]


def model_record(model: Model) -> dict[str, Any]:
    """What tells a model from others."""
    spec = model.spec
    return {
        "name": spec.name,
        "version": spec.version,
        "description": spec.description,
        "kind": spec.kind.value,
        "sample_rate": spec.sample_rate,
        "channels": spec.channels,
        "hop": spec.hop,
        "labels": list(spec.labels),
        "layers": [layer.hidden for layer in spec.layers],
        "cells": [layer.cell.value for layer in spec.layers],
        "neurons": spec.neurons,
        "open_rate": open_rate(spec),
        "state_bytes": state_bytes(spec),
        "licence": spec.licence,
    }


def state_bytes(spec: ModelSpec) -> int:
    """What the model carries of one stream from chunk to chunk."""
    return sum(state.nbytes for state in spec.states)


def open_rate(spec: ModelSpec) -> float | None:
    """The measured open rate; None when the card names none."""
    return number(spec.metrics, "open_rate")


def number(figures: Mapping[str, object], name: str) -> float | None:
    """A figure of that name, at any depth: cards group them by test set."""
    value = figures.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    for inner in figures.values():
        if isinstance(inner, Mapping) and (found := number(inner, name)) is not None:
            return found
    return None
