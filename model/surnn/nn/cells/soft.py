"""Gates between 0 and 1: the ablation of arXiv 2603.02226 that shows what binary switches are for.

    h' = (1 - g) h + g f(h, x)                               0 < g < 1

Every neuron moves in every frame, so nothing is skipped and nothing is carried exactly: such a
network can be trained and measured, and no runtime serves it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from surnn.nn.cells.base import CellOutput, RecurrentCell, State

__all__ = ["soft_sequence"]


def soft_sequence(cell: RecurrentCell, x: Tensor, gates: Tensor, state: State) -> CellOutput:
    """Any cell with switches under gates [B, T, H] from 0 to 1, frame by frame: slow.

    Updates are counted where a gate is not 0.
    """
    outputs = []
    for x_t, gate in zip(x.unbind(1), gates.unbind(1), strict=True):
        _, _, new = cell.step(x_t, torch.ones_like(gate), state)
        state = tuple(torch.lerp(old, f, gate) for old, f in zip(state, new, strict=True))
        outputs.append(state[0])
    return CellOutput(torch.stack(outputs, 1), (gates > 0).to(gates.dtype), state)
