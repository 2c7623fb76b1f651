"""EGRU: a GRU that sends its value on only in events (arXiv 2206.06178).

    z = sigmoid(W_z x + b_z + U_z y)                         keeps
    r = sigmoid(W_r x + b_r + U_r y)
    n = tanh(W_n x + b_n + r * (U_n y + c_n))                reset after the matmul
    c~ = z * c + (1 - z) * n
    e  = 1 where c~ > threshold, else 0                      event
    c' = c~ - e * threshold                                  soft reset
    y' = e * c~                                              what others see: 0 without an event

Two states: c, which moves in every frame, and y, which is mostly 0. A session needs both. Rows of
W, U and b are ordered z, r, n. The threshold, one for each neuron, is trained and kept within
0 ... 1; it starts Beta-distributed with mean 0.3. Events are trained through a triangle.

A last bit of rounding can move an event by a frame, and all that follows with it: between runtimes
events are compared with slack, and only between equal events are numbers compared.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from surnn.nn.cells.base import CellOutput, RecurrentCell, State
from surnn.nn.surrogates import triangle_step

__all__ = ["EGRU"]

SURROGATE_HEIGHT, SURROGATE_SLOPE = 0.7, 1.0
"""de / dv = height * max(0, 1 - slope |v|) for v = c~ - threshold."""
THRESHOLD_MEAN = 0.3


class EGRU(RecurrentCell):
    """One EGRU layer."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.weight_x = nn.Parameter(torch.empty(3 * hidden, inputs))
        self.weight_h = nn.Parameter(torch.empty(3 * hidden, hidden))
        for weight in (self.weight_x, self.weight_h):
            for rows in weight.chunk(3):
                nn.init.xavier_normal_(rows)
        self.bias_x = nn.Parameter(torch.zeros(3 * hidden))
        self.bias_h = nn.Parameter(torch.zeros(hidden))
        shape = torch.tensor(3 * THRESHOLD_MEAN / (1 - THRESHOLD_MEAN))
        beta = torch.distributions.Beta(shape, torch.tensor(3.0))
        self.threshold = nn.Parameter(beta.sample((hidden,)))

    def step(self, x: Tensor, gate: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """See `RecurrentCell.step`."""
        projected = nn.functional.linear(x, self.weight_x, self.bias_x)
        c, y, event = self._advance(projected, gate, *state)
        return y, event, (c, y)

    def _advance(
        self, x: Tensor, gate: Tensor, c: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """New c and y, and the events, from x = W x + b [B, 3H]."""
        threshold = self.threshold.clamp(0, 1)
        split = 2 * self.hidden
        hidden = y @ self.weight_h.T
        z, r = torch.sigmoid(x[:, :split] + hidden[:, :split]).chunk(2, dim=-1)
        n = torch.tanh(x[:, split:] + r * (hidden[:, split:] + self.bias_h))
        cell = z * c + (1 - z) * n
        event = triangle_step(cell - threshold, SURROGATE_HEIGHT, SURROGATE_SLOPE)
        is_open = gate > 0
        new_c = torch.where(is_open, cell - event * threshold, c)
        return new_c, torch.where(is_open, event * cell, y), event * gate

    def forward(self, x: Tensor, gates: Tensor, state: State) -> CellOutput:
        """See `RecurrentCell.forward`."""
        projected = nn.functional.linear(x, self.weight_x, self.bias_x)
        c, y = state
        outputs, events = [], []
        for x_t, gate in zip(projected.unbind(1), gates.unbind(1), strict=True):
            c, y, event = self._advance(x_t, gate, c, y)
            outputs.append(y)
            events.append(event)
        if not outputs:
            return CellOutput(torch.zeros_like(gates), gates, state)
        return CellOutput(torch.stack(outputs, 1), torch.stack(events, 1), (c, y))
