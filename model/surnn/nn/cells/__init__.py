"""Recurrent cells, one file each: equations, a fast sequence form and a slow, obvious reference."""

from surnn.cells import Cell
from surnn.nn.cells.base import CellOutput, RecurrentCell
from surnn.nn.cells.sugru import SuGRU
from surnn.nn.cells.sulstm import SuLSTM
from surnn.nn.cells.surnn import SuRNN

__all__ = ["CELL_MODULES", "CellOutput", "RecurrentCell"]

CELL_MODULES: dict[Cell, type[RecurrentCell]] = {
    Cell.SURNN: SuRNN,
    Cell.SUGRU: SuGRU,
    Cell.SULSTM: SuLSTM,
}
