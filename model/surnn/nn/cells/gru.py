"""GRU: the dense baseline (arXiv 1406.1078v1, reset applied after the matmul as cuDNN does).

The equations of `surnn.nn.cells.sugru` with every neuron updated in every frame.
"""

from surnn.nn.cells.sugru import SuGRU

__all__ = ["GRU"]


class GRU(SuGRU):
    """One GRU layer. Its gates are 0 in padding and 1 elsewhere."""
