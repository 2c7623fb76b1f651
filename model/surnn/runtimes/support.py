"""Which models a runtime has kernels for; ONNX Runtime runs all. Light: imports no runtime."""

from __future__ import annotations

from surnn.cells import NATIVE_CELLS
from surnn.errors import InvalidConfig
from surnn.spec import ModelSpec

__all__ = ["check_native", "runs_natively"]


def runs_natively(spec: ModelSpec) -> bool:
    """Has the native runtime kernels for every layer?"""
    return all(layer.cell in NATIVE_CELLS and layer.block is None for layer in spec.layers)


def check_native(spec: ModelSpec) -> None:
    """Raises `InvalidConfig` naming the layers that the native runtime cannot run."""
    if not runs_natively(spec):
        known = sorted(cell.value for cell in NATIVE_CELLS)
        seen = [layer.cell.value + (" in a block" if layer.block else "") for layer in spec.layers]
        raise InvalidConfig(
            f"the native runtime runs layers of {known} alone, but those of model {spec.name!r} "
            f"are {seen}, expected runtime 'onnx' for it"
        )
