"""What stands around a cell: norm → cell → gate → + residual, each part as the spec says.

    x^ = norm(x)                                             per frame, over the I inputs
    y  = cell(x^)
    y^ = (A u + a) * sigmoid(B u + b),   u = gelu(y)         gated linear unit
    out = y^ + x                                             W x where the widths differ

The block of LRU (arXiv 2303.06349) with the norm in front. Norms look at one frame alone: no batch
norm, whose statistics would have to travel with the model and differ between training and serving.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from surnn.spec import NORM_EPSILON, BlockGate, BlockSpec, Norm

__all__ = ["Block"]


class Block(nn.Module):
    """The parts of one block; without a spec it lets everything pass."""

    def __init__(self, spec: BlockSpec | None, inputs: int, hidden: int) -> None:
        super().__init__()
        norm = spec.norm if spec else Norm.NONE
        self.norm: nn.Module = nn.Identity()
        if norm is Norm.LAYER:
            self.norm = nn.LayerNorm(inputs, NORM_EPSILON)
        elif norm is Norm.RMS:
            self.norm = nn.RMSNorm(inputs, NORM_EPSILON)
        gated = spec is not None and spec.gate is BlockGate.GLU
        self.glu = nn.Linear(hidden, 2 * hidden) if gated else None
        self.residual = spec is not None and spec.residual
        projected = self.residual and inputs != hidden
        self.skip = nn.Linear(inputs, hidden, bias=False) if projected else nn.Identity()

    def before(self, x: Tensor) -> Tensor:
        """What the cell reads [..., I]."""
        normed: Tensor = self.norm(x)
        return normed

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        """What the layer gives [..., H], from its input x and the cell's output y."""
        if self.glu is not None:
            value, gate = self.glu(nn.functional.gelu(y)).chunk(2, dim=-1)
            y = value * torch.sigmoid(gate)
        return y + self.skip(x) if self.residual else y
