"""What stands around a cell, as ONNX nodes: `surnn.nn.block`."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from surnn.export.builder import GraphBuilder
from surnn.spec import NORM_EPSILON, BlockGate, BlockSpec, Norm

__all__ = ["after_cell", "before_cell"]

Weights = Mapping[str, NDArray[np.float32]]


def before_cell(g: GraphBuilder, block: BlockSpec, weights: Weights, x: str) -> str:
    """What the cell reads [B, T, I]; weights by their names in the block."""
    if block.norm is Norm.NONE:
        return x
    scale = g.const(weights["norm.weight"], np.float32, "norm")
    if block.norm is Norm.LAYER:
        bias = g.const(weights["norm.bias"], np.float32, "norm")
        return g.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=NORM_EPSILON)
    # Not ReduceMean, whose order of summation depends on the number of frames in a call.
    width = len(weights["norm.weight"])
    mean = g.op("MatMul", g.op("Mul", x, x), g.const(np.full((width, 1), 1 / width), np.float32))
    size = g.op("Sqrt", g.op("Add", mean, g.const(NORM_EPSILON, np.float32)))
    return g.op("Mul", g.op("Div", x, size), scale)


def after_cell(g: GraphBuilder, block: BlockSpec, weights: Weights, x: str, y: str) -> str:
    """What the layer gives [B, T, H], from its input x and the cell's output y."""
    if block.gate is BlockGate.GLU:
        root = g.const(math.sqrt(0.5), np.float32)
        phi = g.op("Add", g.op("Erf", g.op("Mul", y, root)), g.const(1.0, np.float32))
        u = g.op("Mul", g.op("Mul", y, phi), g.const(0.5, np.float32))  # gelu
        u = g.op("MatMul", u, g.const(weights["glu.weight"].T, np.float32, "glu"))
        u = g.op("Add", u, g.const(weights["glu.bias"], np.float32, "glu"))
        value, gate = g.split(u, 2, axis=2)
        y = g.op("Mul", value, g.op("Sigmoid", gate))
    if not block.residual:
        return y
    if "skip.weight" in weights:
        x = g.op("MatMul", x, g.const(weights["skip.weight"].T, np.float32, "skip"))
    return g.op("Add", y, x)
