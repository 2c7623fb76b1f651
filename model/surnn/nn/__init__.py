"""The network in PyTorch: for training, and the reference for every runtime.

Needs the `torch` extra. Nothing on the serving path imports this package.
"""

from surnn.nn.network import Network, Output, switch_parameters

__all__ = ["Network", "Output", "switch_parameters"]
