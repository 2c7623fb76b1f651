"""Recurrent cells, one file each: equations, a fast sequence form and a slow, obvious reference."""

from surnn.cells import Cell
from surnn.nn.cells.base import CellOutput, RecurrentCell
from surnn.nn.cells.bmru import BMRU
from surnn.nn.cells.cmru import CMRU
from surnn.nn.cells.egru import EGRU
from surnn.nn.cells.gru import GRU
from surnn.nn.cells.lru import LRU
from surnn.nn.cells.lstm import LSTM
from surnn.nn.cells.mingru import MinGRU
from surnn.nn.cells.sugru import SuGRU
from surnn.nn.cells.sulstm import SuLSTM
from surnn.nn.cells.surnn import SuRNN

__all__ = ["CELL_MODULES", "CellOutput", "RecurrentCell"]

CELL_MODULES: dict[Cell, type[RecurrentCell]] = {
    Cell.SURNN: SuRNN,
    Cell.SUGRU: SuGRU,
    Cell.SULSTM: SuLSTM,
    Cell.GRU: GRU,
    Cell.LSTM: LSTM,
    Cell.LRU: LRU,
    Cell.EGRU: EGRU,
    Cell.BMRU: BMRU,
    Cell.CMRU: CMRU,
    Cell.MINGRU: MinGRU,
}
