"""A short name for a model's weights and shape, the same in every runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from surnn.spec import ModelSpec

__all__ = ["fingerprint"]

_ARCHITECTURE = {"kind", "sample_rate", "hop", "channels", "frontend", "encoder", "layers"}


def fingerprint(spec: ModelSpec, weights: Mapping[str, NDArray[np.float32]]) -> str:
    """32 hexadecimal digits over architecture and weights; thresholds don't count."""
    # A field that came later must not give models from before it another name.
    unused = {i: {"block"} for i, layer in enumerate(spec.layers) if layer.block is None}
    architecture = spec.model_dump_json(include=_ARCHITECTURE, exclude={"layers": unused})
    digest = hashlib.sha256(architecture.encode())
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name], dtype="<f4")
        digest.update(f"{name}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:32]
