"""What a spec says of one recurrent layer: its cell, its switches, and what stands around them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from surnn.cells import CELLS, Cell, CellTraits

__all__ = ["BlockGate", "BlockSpec", "Frozen", "LayerSpec", "Norm", "SwitchMode", "SwitchSpec"]


class Frozen(BaseModel):
    """A part of a spec: it never changes, and keys that it does not know are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SwitchMode(StrEnum):
    """What drives the switches of a layer."""

    CLOCK = "clock"
    INPUT = "input"
    CLOCK_INPUT = "clock+input"
    NONE = "none"
    """No switch: the dense baseline, every neuron open in every frame."""


class SwitchSpec(Frozen):
    """The switches of one layer (see `surnn.nn.switches`)."""

    mode: SwitchMode = SwitchMode.CLOCK
    group: int = Field(default=1, ge=1, description="Neurons that share one switch")
    frequencies: int = Field(default=16, ge=1, le=32, description="K, sines shared by the layer")
    min_period: float = Field(default=2.0, ge=1.0, description="Shortest period, in frames")
    max_period: float = Field(default=200.0, gt=2.0, description="Longest period, in frames")
    open_rate: float = Field(default=0.17, gt=0.0, le=1.0, description="Share open at the start")

    @model_validator(mode="after")
    def _periods_ascend(self) -> SwitchSpec:
        if self.max_period < self.min_period:
            raise ValueError(
                f"longest period {self.max_period:g} is below the shortest {self.min_period:g}"
            )
        return self


class Norm(StrEnum):
    """How a block norms what its cell reads, frame by frame."""

    NONE = "none"
    LAYER = "layer"
    RMS = "rms"


class BlockGate(StrEnum):
    """What a block does with what its cell gives."""

    NONE = "none"
    GLU = "glu"
    """A gated linear unit."""


class BlockSpec(Frozen):
    """What stands around a cell: norm → cell → gate → + residual (see `surnn.nn.block`)."""

    norm: Norm = Norm.LAYER
    gate: BlockGate = BlockGate.GLU
    residual: bool = True


class LayerSpec(Frozen):
    """One recurrent layer: a cell, its switches, and what stands around them.

    What a layer gives is as wide as its cell: `hidden`, whatever the block does.
    """

    cell: Cell = Cell.SUGRU
    hidden: int = Field(ge=1)
    switch: SwitchSpec = SwitchSpec()
    """Left out for a cell without switches: mode `none`."""
    block: BlockSpec | None = None
    """None: the cell alone, between the layer below and the one above."""

    @model_validator(mode="before")
    @classmethod
    def _no_switch_by_default(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and "switch" not in fields:
            cell = fields.get("cell", Cell.SUGRU)
            # A name that is no cell is refused further on.
            if isinstance(cell, str) and cell in CELLS and not CELLS[Cell(cell)].switched:
                return fields | {"switch": SwitchSpec(mode=SwitchMode.NONE)}
        return fields

    @model_validator(mode="after")
    def _switches_exist(self) -> LayerSpec:
        switch = self.switch
        if not self.traits.switched and (switch.mode is not SwitchMode.NONE or switch.group > 1):
            raise ValueError(
                f"cell {self.cell.value!r} has no switches, but switch mode is "
                f"{switch.mode.value!r} and group {switch.group}, expected 'none' and 1"
            )
        return self

    @model_validator(mode="after")
    def _groups_fit(self) -> LayerSpec:
        if self.hidden % self.switch.group:
            raise ValueError(
                f"hidden size is {self.hidden}, expected a multiple of the switch group "
                f"{self.switch.group}"
            )
        return self

    @property
    def switches(self) -> int:
        """Switches in the layer: one for each group of neurons."""
        return self.hidden // self.switch.group

    @property
    def traits(self) -> CellTraits:
        """What the cell carries and reports (see `surnn.cells`)."""
        return CELLS[self.cell]
