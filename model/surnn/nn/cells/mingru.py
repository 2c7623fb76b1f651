"""minGRU: a GRU whose gates see the input alone (arXiv 2410.01201).

    z = sigmoid(W_z x)                                       update
    n = g(W_n x)                                             candidate
    h' = (1 - z) * h + z * n
    g(v) = v + 1/2 where v >= 0, sigmoid(v) elsewhere        positive states

No biases. Rows of W are ordered z, n. Training scans in plain numbers (`surnn.nn.scan`): the usual
scan of logarithms cannot start from a state that is 0, and needs log h where g's logarithm is at
hand. All else goes frame by frame.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from surnn.nn.cells.base import CellOutput, RecurrentCell, State
from surnn.nn.scan import linear_scan

__all__ = ["MinGRU"]


class MinGRU(RecurrentCell):
    """One minGRU layer."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        bound = 1 / math.sqrt(inputs)
        self.weight_x = nn.Parameter(torch.empty(2 * hidden, inputs).uniform_(-bound, bound))

    def _candidates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z and n [..., H]: they do not depend on the state."""
        z, v = nn.functional.linear(x, self.weight_x).chunk(2, dim=-1)
        return torch.sigmoid(z), torch.where(v >= 0, v + 0.5, torch.sigmoid(v))

    def step(self, x: Tensor, gate: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """See `RecurrentCell.step`."""
        z, n = self._candidates(x)
        h = torch.where(gate > 0, (1 - z) * state[0] + z * n, state[0])
        return h, gate, (h,)

    def forward(self, x: Tensor, gates: Tensor, state: State) -> CellOutput:
        """See `RecurrentCell.forward`."""
        z, n = (v.transpose(0, 1) for v in self._candidates(x))
        is_open, (h,) = gates.transpose(0, 1) > 0, state
        if self.scans:
            added = torch.where(is_open, z * n, torch.zeros_like(n))
            states = linear_scan(torch.where(is_open, 1 - z, torch.ones_like(z)), added, h)
        else:
            kept, added = 1 - z, z * n
            states = torch.empty_like(n)
            for i in range(len(n)):
                h = torch.where(is_open[i], kept[i] * h + added[i], h)
                states[i] = h
        return CellOutput(states.transpose(0, 1), gates, (states[-1] if len(states) else h,))
