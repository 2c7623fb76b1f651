"""A whole model: front end, recurrent layers behind switches, a head for every frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from surnn.errors import InvalidShape
from surnn.nn.cells.sugru import SuGRU
from surnn.nn.encoder import Encoder
from surnn.nn.features import build_front_end
from surnn.nn.switches import Switch
from surnn.spec import ModelSpec

__all__ = ["Network", "Output", "switch_parameters"]

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Output:
    """What a batch of sequences gave."""

    logits: Tensor
    """[B, T, C]"""
    gates: list[Tensor]
    """For each layer the switches [B, T, G], 0 or 1, with a straight-through gradient."""
    pre: list[Tensor]
    """For each layer what the switches came from: a [B, T, G]."""
    state: State
    """Behind each session's length: same names and shapes as `Network.initial_state`."""


class Layer(nn.Module):
    """One recurrent layer and its switches."""

    def __init__(self, spec: ModelSpec, index: int, inputs: int) -> None:
        super().__init__()
        layer = spec.layers[index]
        self.group = layer.switch.group
        self.switch = Switch(layer.switch, spec.features, layer.switches)
        self.cell = SuGRU(inputs, layer.hidden)


class Network(nn.Module):
    """The model that a spec describes.

    Each layer reads the one below; every switch reads the features (of the encoder, if there is
    one) and the frame number; the head reads all layers, so slow neurons of lower layers reach it
    directly.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.front_end = build_front_end(spec)
        self.encoder = Encoder(spec.frontend.features, spec.encoder) if spec.encoder else None
        widths = [spec.features, *(layer.hidden for layer in spec.layers)]
        self.layers = nn.ModuleList(Layer(spec, i, inputs) for i, inputs in enumerate(widths[:-1]))
        self.head = nn.Linear(spec.neurons, len(spec.labels))

    @property
    def stack(self) -> list[Layer]:
        """The recurrent layers, lowest first."""
        return cast(list[Layer], list(self.layers))

    def initial_state(self, batch: int) -> State:
        """The state in which every stream starts: zeros."""
        dtypes = {"float32": self.head.weight.dtype, "int64": torch.int64}
        device = self.head.weight.device
        return {
            s.name: torch.zeros(batch, *s.shape, dtype=dtypes[s.dtype], device=device)
            for s in self.spec.states
        }

    def forward(
        self, frames: Tensor, lengths: Tensor | None = None, state: State | None = None
    ) -> Output:
        """Run frames [B, T, S]; frames at or behind `lengths` [B] leave no trace in the state.

        Raises `InvalidShape`.
        """
        size = self.spec.frame_size
        if frames.ndim != 3 or frames.shape[2] != size:
            raise InvalidShape(f"frames are {list(frames.shape)}, expected [B, T, {size}]")
        batch, steps, _ = frames.shape
        if lengths is None:
            lengths = torch.full((batch,), steps, dtype=torch.int64, device=frames.device)
        state = self.initial_state(batch) if state is None else state
        valid = (torch.arange(steps, device=frames.device) < lengths[:, None])[..., None]  # [B, T, 1]

        context = state.get("context", frames.new_zeros(batch, 0))
        features, context = self.front_end(frames, context, lengths)
        new: State = {"t": state["t"] + lengths}
        if "context" in state:
            new["context"] = context
        if self.encoder is not None:
            features, new["past"] = self.encoder(features, state["past"], lengths)
        x, gates, pre, hidden = features, [], [], []
        for i, layer in enumerate(self.stack):
            gate, a = layer.switch(state["t"], features)
            gate = gate * valid
            x = layer.cell(x, gate.repeat_interleave(layer.group, dim=-1), state[f"h{i}"])
            new[f"h{i}"] = x[:, -1] if steps else state[f"h{i}"]
            gates.append(gate)
            pre.append(a)
            hidden.append(x)
        return Output(self.head(torch.cat(hidden, dim=-1)), gates, pre, new)


def switch_parameters(network: Network) -> list[nn.Parameter]:
    """Parameters of all switches: they want a learning rate of their own."""
    return [p for layer in network.stack for p in layer.switch.parameters()]
