"""What every recurrent cell offers: whole sequences and single steps, from any state.

A cell gets `gates`: 1 where a neuron may move, else 0. They are the layer's switches where the cell
has any, and 0 in the padding behind a session's end. **A gate of 0 leaves every state of the neuron
as it was, bit for bit**: all cells keep that rule, with or without switches.

`step` is the equations. `reference`, which is `step` in a loop, is what the fast sequence of every
cell is tested against, in values and in gradients.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["CellOutput", "RecurrentCell", "State", "gate_gradient"]

State = tuple[Tensor, ...]
"""The states of one layer, each [B, H] or [B, 2, H], in the order of `surnn.cells.CELLS`."""


@dataclass(frozen=True, slots=True)
class CellOutput:
    """What a layer gave for a batch of sequences."""

    outputs: Tensor
    """What the next layer and the head read [B, T, H]."""
    updates: Tensor
    """1 where a neuron was updated, else 0 [B, T, H] (see `surnn.cells.Update`)."""
    state: State
    """Behind the last frame."""


class RecurrentCell(nn.Module, ABC):
    """One recurrent layer: I inputs, H neurons."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.hidden = hidden

    @property
    def scans(self) -> bool:
        """May the sequence be computed by a parallel scan (`surnn.nn.scan`)? Only to train: frame
        by frame gives the same bits in any chunks."""
        return self.training and torch.is_grad_enabled()

    @abstractmethod
    def step(self, x: Tensor, gate: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """One frame: x [B, I], gate [B, H] → outputs [B, H], updates [B, H], new state."""

    @abstractmethod
    def forward(self, x: Tensor, gates: Tensor, state: State) -> CellOutput:
        """All frames: x [B, T, I], gates [B, T, H]. The same numbers as `reference`, faster."""

    def reference(self, x: Tensor, gates: Tensor, state: State) -> CellOutput:
        """`step`, frame after frame. Slow; T must be 1 or more."""
        outputs, updates = [], []
        for x_t, gate in zip(x.unbind(1), gates.unbind(1), strict=True):
            output, update, state = self.step(x_t, gate, state)
            outputs.append(output)
            updates.append(update)
        return CellOutput(torch.stack(outputs, 1), torch.stack(updates, 1), state)


def gate_gradient(gate: Tensor, change: Tensor) -> Tensor:
    """Zero in value; backward gives the gate its gradient: what opening would change.

    Open and closed switches both get it: dL/dg = dL/dh' (f - h).
    """
    return (gate - gate.detach()) * change.detach()
