"""A whole model: front end, recurrent layers behind switches, a head for every frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from surnn.errors import InvalidInput, InvalidShape
from surnn.nn.block import Block
from surnn.nn.cells import CELL_MODULES
from surnn.nn.cells.soft import soft_sequence
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
    """For each layer what was updated, 0 or 1: switches [B, T, G], and for cells without switches
    the neurons [B, T, H] (see `surnn.cells.Update`). With a straight-through gradient, except where
    every neuron is updated in every frame."""
    pre: list[Tensor | None]
    """For each layer what the switches came from: a [B, T, G]; None where nothing drives any."""
    state: State
    """Behind each session's length: same names and shapes as `Network.initial_state`."""


class Layer(nn.Module):
    """One recurrent layer: a cell, its switches, and the block around them."""

    def __init__(self, spec: ModelSpec, index: int, inputs: int) -> None:
        super().__init__()
        self.spec = layer = spec.layers[index]
        self.states = tuple(state.name for state in spec.layer_states(index))
        self.switch = Switch(layer.switch, spec.features, layer.switches)
        self.cell = CELL_MODULES[layer.cell](inputs, layer.hidden)
        self.block = Block(layer.block, inputs, layer.hidden)

    def forward(
        self, x: Tensor, features: Tensor, valid: Tensor, state: State
    ) -> tuple[Tensor, Tensor, Tensor | None, State]:
        """Outputs [B, T, H], what was updated, what the switches came from, and the new state.

        x [B, T, I]; features [B, T, F] are what the switches see; valid [B, T, 1].
        """
        inputs = self.block.before(x)
        before = tuple(state[name] for name in self.states)
        # Mixed precision ends here: a rounded a would turn switches, and recurrences add up errors.
        with torch.autocast(x.device.type, enabled=False):
            switches, pre = self.switch(state["t"], features.to(before[0].dtype))
            switches = switches * valid
            gates = switches.repeat_interleave(self.spec.switch.group, dim=-1)
            inputs = inputs.to(before[0].dtype)
            if self.switch.soft:
                found = soft_sequence(self.cell, inputs, gates, before)
            else:
                found = self.cell(inputs, gates, before)
        updates = switches if self.spec.traits.switched else found.updates
        after = dict(zip(self.states, found.state, strict=True))
        return self.block.after(x, found.outputs), updates, pre, after


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

        Raises `InvalidShape` when frames or state do not fit, `InvalidInput` on NaN or infinity.
        """
        size = self.spec.frame_size
        if frames.ndim != 3 or frames.shape[2] != size:
            raise InvalidShape(f"frames are {list(frames.shape)}, expected [B, T, {size}]")
        if not torch.isfinite(frames).all():
            raise InvalidInput("frames hold NaN or infinity, expected finite numbers")
        batch, steps, _ = frames.shape
        if lengths is None:
            lengths = torch.full((batch,), steps, dtype=torch.int64, device=frames.device)
        state = self.initial_state(batch) if state is None else self._checked(state, batch)
        frame = torch.arange(steps, device=frames.device)
        valid = (frame < lengths[:, None])[..., None]  # [B, T, 1]

        context = state.get("context", frames.new_zeros(batch, 0))
        features, context = self.front_end(frames, context, lengths)
        new: State = {"t": state["t"] + lengths}
        if "context" in state:
            new["context"] = context
        if self.encoder is not None:
            features, new["past"] = self.encoder(features, state["past"], lengths)
        x, gates, pre, outputs = features, [], [], []
        for layer in self.stack:
            x, updates, a, after = layer(x, features, valid, state)
            new |= after
            gates.append(updates)
            pre.append(a)
            outputs.append(x)
        return Output(self.head(torch.cat(outputs, dim=-1)), gates, pre, new)

    def _checked(self, state: State, batch: int) -> State:
        """The state, if it is one of this model for so many sessions. Raises `InvalidShape`."""
        seen = {name: list(value.shape) for name, value in state.items()}
        expected = {s.name: [batch, *s.shape] for s in self.spec.states}
        if seen != expected:
            wrong = sorted(
                k for k in seen.keys() | expected.keys() if seen.get(k) != expected.get(k)
            )
            raise InvalidShape(
                f"states {wrong} are {[seen.get(k) for k in wrong]}, "
                f"expected {[expected.get(k) for k in wrong]}"
            )
        return state


def switch_parameters(network: Network) -> list[nn.Parameter]:
    """Parameters of all switches: they want a learning rate of their own."""
    return [p for layer in network.stack for p in layer.switch.parameters()]
