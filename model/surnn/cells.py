"""The recurrent cells by name: what each carries from frame to frame, and what counts as an update.

One table for spec, network, export and runtimes, so that none of them asks "is it this cell?".
Equations and sources are in `surnn.nn.cells`; this file needs no torch.

Every state starts as zeros, in training and wherever a session is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["CELLS", "NATIVE_CELLS", "Cell", "CellState", "CellTraits", "Update"]


class Cell(StrEnum):
    """Recurrent cells that a layer can be made of."""

    SURNN = "surnn"
    SUGRU = "sugru"
    SULSTM = "sulstm"
    GRU = "gru"
    LSTM = "lstm"
    LRU = "lru"
    EGRU = "egru"
    BMRU = "bmru"
    CMRU = "cmru"
    MINGRU = "mingru"


class Update(StrEnum):
    """What a cell reports as the update of a neuron in a frame: the field `opened`."""

    SWITCH = "switch"
    """Its switch was open. A neuron with a closed switch keeps its states bit for bit."""
    ALWAYS = "always"
    """Every neuron in every frame: the dense baselines."""
    EVENT = "event"
    """It sent its value on. Neurons without an event still integrate: their state moves."""
    WRITE = "write"
    """It was written. A neuron that is not written keeps its state bit for bit."""


@dataclass(frozen=True, slots=True)
class CellState:
    """One array that a layer of H neurons carries: `letter` and the layer's number name it."""

    letter: str
    parts: int = 1
    """1: [H]. 2: [2, H], real and imaginary part."""


@dataclass(frozen=True, slots=True)
class CellTraits:
    """What the rest of the system needs to know of a cell."""

    states: tuple[CellState, ...]
    update: Update

    @property
    def switched(self) -> bool:
        """Does a layer of this cell have switches?"""
        return self.update is Update.SWITCH

    @property
    def carries(self) -> bool:
        """Does a neuron that is not updated keep all its states bit for bit?"""
        return self.update is not Update.EVENT


_H = (CellState("h"),)
_HC = (CellState("h"), CellState("c"))
_S = (CellState("s"),)

CELLS: dict[Cell, CellTraits] = {
    Cell.SURNN: CellTraits(_H, Update.SWITCH),
    Cell.SUGRU: CellTraits(_H, Update.SWITCH),
    Cell.SULSTM: CellTraits(_HC, Update.SWITCH),
    Cell.GRU: CellTraits(_H, Update.ALWAYS),
    Cell.LSTM: CellTraits(_HC, Update.ALWAYS),
    Cell.LRU: CellTraits((CellState("h", parts=2),), Update.ALWAYS),
    Cell.EGRU: CellTraits((CellState("c"), CellState("y")), Update.EVENT),
    Cell.BMRU: CellTraits(_S, Update.WRITE),
    Cell.CMRU: CellTraits(_S, Update.WRITE),
    Cell.MINGRU: CellTraits(_H, Update.ALWAYS),
}

NATIVE_CELLS = frozenset({Cell.SURNN, Cell.SUGRU, Cell.SULSTM})
"""Cells that the native runtime has kernels for; ONNX Runtime runs all."""
