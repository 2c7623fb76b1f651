"""Training that begins with the weights of a trained model, of the same size or smaller."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from surnn import checkpoint
from surnn.errors import InvalidConfig
from surnn.nn import Network

__all__ = ["start_from"]


@torch.no_grad()
def start_from(network: Network, folder: Path) -> None:
    """Give a fresh network the weights of the model saved in `folder`; it then answers the same.

    Where the network is wider (a wider encoder, switches that hear the input as well), what is new
    keeps its random weights, but whatever reads it does so with weights of zero.

    Raises `UnknownModel` or `CorruptModel` for a folder without a sound model, `InvalidConfig`
    where the model is no smaller version of the network.
    """
    old = checkpoint.load(folder).state_dict()
    new = dict(network.named_parameters())
    for name in sorted(old.keys() - new.keys()):
        raise InvalidConfig(f"model {folder.name!r} has weights {name}, the config has no such")
    for name, weight in new.items():
        if name in old:
            _fill(name, weight, old[name])
        elif name.endswith("switch.weight"):
            weight.zero_()
        else:
            raise InvalidConfig(f"model {folder.name!r} has no weights {name}, the config has")


def _fill(name: str, weight: Tensor, old: Tensor) -> None:
    fits = weight.ndim == old.ndim and all(
        n == o or (n > o and _may_grow(name, axis))
        for axis, (n, o) in enumerate(zip(weight.shape, old.shape, strict=False))
    )
    if not fits:
        raise InvalidConfig(
            f"weights {name} are {list(old.shape)} in the model to start from, "
            f"expected {list(weight.shape)}, or a narrower encoder"
        )
    if weight.ndim > 1 and weight.shape[1] > old.shape[1]:
        weight.zero_()
    weight[tuple(slice(n) for n in old.shape)] = old


def _may_grow(name: str, axis: int) -> bool:
    """Along which axes a wider encoder makes weights larger: its outputs, and what reads them."""
    if name.startswith("encoder."):
        return axis == 0
    if name == "layers.0.cell.weight_x":
        return axis == 1
    return name.endswith("switch.weight") and axis == 0
