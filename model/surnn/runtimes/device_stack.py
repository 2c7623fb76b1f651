"""Everything between frames and logits on a device, in three ways behind one signature.

    KernelStack     Triton kernels over the pool's rows: closed neurons are not written
    NetworkStack    torch's own operations over any `surnn.nn.Network`: gather, run, scatter
    fused_dense     NetworkStack with torch's GRU, the switches as further inputs

A stack changes states last: whatever raises before has changed none.
"""

from __future__ import annotations

import copy
from typing import Protocol

import torch
from torch import Tensor, nn

from surnn.errors import InvalidConfig
from surnn.nn import Network
from surnn.nn.cells.base import CellOutput
from surnn.nn.network import State
from surnn.spec import Cell

__all__ = ["FusedGRU", "NetworkStack", "Stack", "fused_dense"]

States = dict[str, Tensor]


class Stack(Protocol):
    """Runs a model over rows of a pool."""

    recordable: bool
    """Does it ask the device nothing, so that a CUDA graph can hold it?"""

    def __call__(
        self, states: States, frames: Tensor, rows: Tensor, lengths: Tensor, *, in_step: bool
    ) -> Tensor:
        """Advance the rows; returns logits and, behind them, open neurons: [B, T, C + L].

        Args:
            states: the tensors of a `DevicePool`.
            frames: [B, T, S]; zeros behind a session's length.
            rows: each session's row, int64 [B]; all different, but for the last row.
            lengths: frames of each session, int32 [B].
            in_step: all sessions have the same frame number and as many frames.
        """
        ...


class NetworkStack:
    """Any network, whatever its cells: the reference on a device, and the way without kernels."""

    recordable = False

    def __init__(self, network: Network) -> None:
        self._network = network

    @torch.no_grad()
    def __call__(
        self, states: States, frames: Tensor, rows: Tensor, lengths: Tensor, *, in_step: bool
    ) -> Tensor:
        """See `Stack`."""
        lengths = lengths.to(torch.int64)
        old: State = {name: tensor.index_select(0, rows) for name, tensor in states.items()}
        output = self._network(frames, lengths, old)
        opened = [
            gate.sum(dim=-1, keepdim=True) * (layer.hidden // gate.shape[-1])
            for gate, layer in zip(output.gates, self._network.spec.layers, strict=True)
        ]
        result = torch.cat([output.logits, *opened], dim=-1)
        for name, tensor in states.items():
            tensor.index_copy_(0, rows, output.state[name])
        return result


class FusedGRU(nn.Module):
    """torch.nn.GRU, which is cuDNN's on CUDA, with an input for each switch.

    A closed switch adds 1e4 to its update gate's sum: the sigmoid is then 1 and the new state is
    the old one, exactly if h' = (1 - z) n + z h is computed as written. torch's CPU form is not.
    """

    _CLOSED = 1e4

    def __init__(self, weights: dict[str, Tensor]) -> None:
        """weight_x [3H, I], weight_h [3H, H], bias_x [3H] and bias_h [H] of a suGRU."""
        super().__init__()
        hidden, inputs = weights["bias_h"].shape[0], weights["weight_x"].shape[1]
        self.gru = nn.GRU(inputs + hidden, hidden, batch_first=True)
        order = torch.cat([torch.arange(hidden) + hidden * gate for gate in (1, 0, 2)])
        closing = torch.zeros(3 * hidden, hidden)
        closing[hidden : 2 * hidden] = torch.eye(hidden) * self._CLOSED
        self.gru.load_state_dict(
            {
                "weight_ih_l0": torch.cat([weights["weight_x"][order], closing], dim=1),
                "weight_hh_l0": weights["weight_h"][order],
                "bias_ih_l0": weights["bias_x"][order],
                "bias_hh_l0": torch.cat([torch.zeros(2 * hidden), weights["bias_h"]]),
            }
        )

    def forward(self, x: Tensor, gates: Tensor, state: tuple[Tensor, ...]) -> CellOutput:
        """See `RecurrentCell.forward`."""
        states, last = self.gru(torch.cat([x, 1.0 - gates], dim=-1), state[0][None].contiguous())
        return CellOutput(states, gates, (last[0],))


def fused_dense(network: Network) -> NetworkStack:
    """The network with a fused dense GRU in each layer, for comparison."""
    if any(layer.cell is not Cell.SUGRU for layer in network.spec.layers):
        raise InvalidConfig("the fused dense path takes suGRU layers only")
    fused = copy.deepcopy(network)
    for layer in fused.stack:
        cell = {k: v.detach().cpu() for k, v in layer.cell.state_dict().items()}
        layer.cell = FusedGRU(cell).to(fused.head.weight.device)  # type: ignore[assignment]
    return NetworkStack(fused.eval())
