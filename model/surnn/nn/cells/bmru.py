"""BMRU: a memory that holds one of two values until it is written (arXiv 2601.09495).

    c = W_c x + b_c,   beta = W_b x + b_b
    z = 1 where |c| >= |beta|, else 0                        write
    v = 1 where c >= 0, else -1                              value
    s' = v where z = 1, s (the same bits) where z = 0
    y = alpha * s'                                           alpha: one for each neuron

c and beta see the input alone, so training scans (`surnn.nn.scan`); the states are whole numbers,
and the scan gives the same bits as frame by frame. z and v are trained through arctangents.

Two things differ from the paper. s starts at 0, "not written yet", not at a trained -1 or 1: then
every session starts the same way in every runtime. And the paper's output map W_o is left out: the
next layer and the head begin with a linear map of their own. (In a block with a gate, a gelu comes
before that map; of two values it makes two others.)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from surnn.nn.cells.base import CellOutput, RecurrentCell, State
from surnn.nn.scan import linear_scan
from surnn.nn.surrogates import arctan_sign, arctan_step

__all__ = ["BMRU"]


class BMRU(RecurrentCell):
    """One BMRU layer."""

    keeps = 0.0
    """Share of the old value in a written one: the epsilon of the papers."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.weight_x = nn.Parameter(torch.randn(2 * hidden, inputs) / math.sqrt(inputs))
        self.bias_x = nn.Parameter(torch.cat([torch.zeros(hidden), torch.ones(hidden)]))
        self.alpha = nn.Parameter(torch.ones(hidden))

    def _candidates(self, x: Tensor, gates: Tensor) -> tuple[Tensor, Tensor]:
        """z and v [..., H]: they do not depend on the state."""
        c, beta = nn.functional.linear(x, self.weight_x, self.bias_x).chunk(2, dim=-1)
        return arctan_step(c.abs() - beta.abs()) * gates, arctan_sign(c)

    def _advance(self, kept: Tensor, added: Tensor, s: Tensor) -> Tensor:
        return kept * s + added

    def step(self, x: Tensor, gate: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """See `RecurrentCell.step`."""
        z, v = self._candidates(x, gate)
        s = self._advance(1 - z + z * self.keeps, z * v, state[0])
        return self.alpha * s, z, (s,)

    def forward(self, x: Tensor, gates: Tensor, state: State) -> CellOutput:
        """See `RecurrentCell.forward`."""
        z, v = (u.transpose(0, 1) for u in self._candidates(x, gates))
        kept, added, (s,) = 1 - z + z * self.keeps, z * v, state
        if self.scans:
            states = linear_scan(kept, added, s)
        else:
            states = torch.empty_like(added)
            for i in range(len(added)):
                s = self._advance(kept[i], added[i], s)
                states[i] = s
        last = states[-1] if len(states) else s
        return CellOutput(self.alpha * states.transpose(0, 1), z.transpose(0, 1), (last,))
