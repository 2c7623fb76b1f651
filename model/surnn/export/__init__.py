"""Export to ONNX: build the graph, prove it equal to the network, then write it.

Needs the `torch` extra.
"""

from __future__ import annotations

from pathlib import Path

from surnn import checkpoint
from surnn.export.graph import build
from surnn.export.verify import Parity, verify
from surnn.nn import Network

__all__ = ["MODEL_FILE", "Parity", "build", "export", "verify"]

MODEL_FILE = "model.onnx"


def export(network: Network, directory: Path) -> Parity:
    """Write `model.onnx`, `model.safetensors` and `spec.json`, once the graph is proven equal.

    Raises `CorruptModel` with what differs; nothing is written then.
    """
    graph = build(network.spec, {k: v.detach().numpy() for k, v in network.state_dict().items()})
    content = graph.SerializeToString()
    parity = verify(network, content)
    checkpoint.save(network, directory)
    (directory / MODEL_FILE).write_bytes(content)
    return parity
