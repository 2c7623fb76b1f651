"""LSTM: the dense baseline (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

The equations of `surnn.nn.cells.sulstm` with every neuron updated in every frame.
"""

from surnn.nn.cells.sulstm import SuLSTM

__all__ = ["LSTM"]


class LSTM(SuLSTM):
    """One LSTM layer. Its gates are 0 in padding and 1 elsewhere."""
