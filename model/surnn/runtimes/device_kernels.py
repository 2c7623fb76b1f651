"""A model as a list of Triton kernels over the rows of a device's pool.

Every matrix product has fixed tiles, so a session's logits and states are the same bits in any
batch. The switches never look at the state: those of all layers are known before the first
recurrence starts, and everything that could run out of memory has been allocated by then.
"""

from __future__ import annotations

import torch
from torch import Tensor

from surnn.clock import AMPLITUDE_LIMIT, AMPLITUDE_ONE, CLOCK_ONE, SINE_TABLE, increments
from surnn.frontend import dft_matrix
from surnn.kernels.device.linear import Epilogue, linear, plain
from surnn.kernels.device.resident import fits, resident_chunk
from surnn.kernels.device.switches import switches
from surnn.kernels.device.tiled import list_open, tiled_chunk
from surnn.nn import Network
from surnn.runtimes.device_stack import States
from surnn.spec import LogMelFrontEnd, ModelSpec, SwitchMode

__all__ = ["KernelStack"]

_FROM_CLOCK = (SwitchMode.CLOCK, SwitchMode.CLOCK_INPUT)
_FROM_INPUT = (SwitchMode.INPUT, SwitchMode.CLOCK_INPUT)


class KernelStack:
    """See `surnn.runtimes.device_stack.Stack`.

    Args:
        network: whose weights to take; all its cells are suGRU.
        device: where to run.
        half: store the layers' matrices in float16, which changes results (about 1e-3).
        precision: of float32 products in `tl.dot`: `ieee`, or `tf32x3` on tensor cores.
    """

    recordable = True

    def __init__(
        self,
        network: Network,
        device: torch.device,
        *,
        half: bool = False,
        precision: str = "ieee",
    ) -> None:
        self.spec = network.spec
        weights = {k: v.detach().to(device, copy=True) for k, v in network.state_dict().items()}
        self._front = _front_end(self.spec, device)
        self._encoder = _Encoder(weights) if self.spec.encoder else None
        self._layers = [
            _Layer(self.spec, i, weights, torch.float16 if half else torch.float32, precision)
            for i in range(len(self.spec.layers))
        ]
        splits = [layer.hidden for layer in self.spec.layers]
        self._head = [w.contiguous() for w in weights["head.weight"].split(splits, dim=1)]
        self._head_bias = weights["head.bias"]
        self.written: Tensor | None = None
        """int64 [1]: set it to have the numbers stored into hidden states counted on the device."""

    @property
    def kernels(self) -> tuple[str, ...]:
        """The kernel that runs each layer: `resident` or `tiled`."""
        return tuple("resident" if layer.resident else "tiled" for layer in self._layers)

    @torch.no_grad()
    def __call__(
        self, states: States, frames: Tensor, rows: Tensor, lengths: Tensor, *, in_step: bool
    ) -> Tensor:
        """See `Stack`."""
        batch, steps, _ = frames.shape
        labels = len(self.spec.labels)
        result = frames.new_zeros(batch, steps, labels + len(self._layers))
        if not batch or not steps:
            return result
        moved: States = {}
        features = self._front(states, frames, rows, lengths, moved)
        if self._encoder:
            features = self._encoder(states, features, rows, lengths, moved)
        starts = states["t"].index_select(0, rows)
        moved["t"] = starts + lengths
        plans = [layer.plan(starts, lengths, features, in_step=in_step) for layer in self._layers]
        for i, plan in enumerate(plans):
            result[..., labels + i] = plan.opened.sum(dim=-1) * self._layers[i].group
        # From here on states change, and nothing is allocated.
        x = features
        flat = result.view(batch * steps, -1)[:, :labels]
        for i, (layer, plan) in enumerate(zip(self._layers, plans, strict=True)):
            x = layer(states[f"h{i}"], rows, lengths, x, plan, self.written)
            bias = self._head_bias if i == 0 else None
            plain(x.view(batch * steps, -1), self._head[i], bias, flat, add=i > 0)
        for name, value in moved.items():
            states[name].index_copy_(0, rows, value)
        return result


class _Plan:
    """What one layer needs for a chunk: its open switches, and room to work in."""

    def __init__(
        self,
        opened: Tensor,
        out: Tensor,
        room: Tensor,
        shared: tuple[Tensor, Tensor] | None,
    ) -> None:
        self.opened, self.out, self.room, self.shared = opened, out, room, shared


class _Layer:
    """One suGRU layer."""

    def __init__(
        self,
        spec: ModelSpec,
        index: int,
        weights: dict[str, Tensor],
        dtype: torch.dtype,
        precision: str,
    ) -> None:
        layer = spec.layers[index]
        switch, prefix = layer.switch, f"layers.{index}."
        self.hidden, self.group, self._count = layer.hidden, switch.group, layer.switches
        self.resident = fits(layer.hidden, dtype)
        self._precision = precision
        self._clocked = switch.mode is SwitchMode.CLOCK
        cell = prefix + "cell."
        self._cell = (
            weights[cell + "weight_x"].to(dtype),
            weights[cell + "weight_h"].to(dtype),
            weights[cell + "bias_x"],
            weights[cell + "bias_h"],
        )
        device = self._cell[2].device
        self._table = torch.from_numpy(SINE_TABLE).float().to(device)
        self._inc = self._amplitude = self._weight = self._bias = None
        if switch.mode is not SwitchMode.NONE:
            self._bias = weights[prefix + "switch.bias"]
        if switch.mode in _FROM_CLOCK:
            inc = increments(switch.frequencies, switch.min_period, switch.max_period)
            self._inc = torch.from_numpy(inc).to(device)
            # Half to even and in float32, as in training.
            scaled = weights[prefix + "switch.amplitude"] * AMPLITUDE_ONE
            self._amplitude = torch.round(scaled.clamp(-AMPLITUDE_LIMIT, AMPLITUDE_LIMIT))
            self._bias = torch.round(weights[prefix + "switch.bias"] * CLOCK_ONE)
        if switch.mode in _FROM_INPUT:
            self._weight = weights[prefix + "switch.weight"]

    def plan(self, starts: Tensor, lengths: Tensor, features: Tensor, *, in_step: bool) -> _Plan:
        """Find the open switches of all frames, and take the memory that the chunk needs."""
        batch, steps, _ = features.shape
        opened = features.new_empty((batch, steps, self._count), dtype=torch.uint8)
        switches(
            starts, lengths, features, opened, inc=self._inc, table=self._table,
            amplitude=self._amplitude, weight=self._weight, bias=self._bias,
        )  # fmt: skip
        out = features.new_zeros(batch, steps, self.hidden)
        width = 3 * self.hidden * steps if self.resident else self.hidden
        room = features.new_empty(batch, width)
        shared = None
        if in_step and self._clocked and not self.resident:
            shared = list_open(opened[0], self.hidden)
        return _Plan(opened, out, room, shared)

    def __call__(
        self,
        pool: Tensor,
        rows: Tensor,
        lengths: Tensor,
        x: Tensor,
        plan: _Plan,
        written: Tensor | None,
    ) -> Tensor:
        if not self.resident:
            return tiled_chunk(
                pool, rows, lengths, x, plan.opened, self._cell, plan.room, plan.out,
                shared=plan.shared, written=written, precision=self._precision,
            )  # fmt: skip
        weight_x, weight_h, bias_x, bias_h = self._cell
        batch, steps, inputs = x.shape
        projected = plan.room.view(batch, steps, -1)
        plain(
            x.view(-1, inputs), weight_x, bias_x, projected.view(batch * steps, -1),
            precision=self._precision,
        )  # fmt: skip
        return resident_chunk(
            pool, rows, lengths, projected, plan.opened, weight_h, bias_h, plan.out,
            written=written,
        )  # fmt: skip


class _LogMel:
    """Streaming log-mel: windows overlap in memory, the transform is a matrix product."""

    def __init__(self, spec: ModelSpec, front: LogMelFrontEnd, device: torch.device) -> None:
        self._front, self._hop, self._context = front, spec.hop, spec.context
        basis, bands = dft_matrix(spec)
        self._basis = torch.from_numpy(basis.T.copy()).float().to(device)
        self._bands = torch.from_numpy(bands.T.copy()).float().to(device)

    def __call__(
        self, states: States, frames: Tensor, rows: Tensor, lengths: Tensor, moved: States
    ) -> Tensor:
        batch, steps, _ = frames.shape
        samples = frames.reshape(batch, -1)
        if self._context:
            samples = torch.cat([states["context"].index_select(0, rows), samples], dim=1)
            behind = lengths[:, None] * self._hop + torch.arange(
                self._context, device=frames.device
            )
            moved["context"] = samples.gather(1, behind)
        power = frames.new_empty(batch * steps, len(self._basis))
        linear(
            samples, self._basis, None, power, per_batch=steps, batch_stride=samples.shape[1],
            row_stride=self._hop, epilogue=Epilogue.SQUARE,
        )  # fmt: skip
        features = frames.new_empty(batch * steps, len(self._bands))
        plain(power, self._bands, None, features, epilogue=Epilogue.LOG)
        features.add_(self._front.offset).mul_(self._front.scale)
        return features.view(batch, steps, -1)


class _Scale:
    """Each channel shifted and scaled."""

    def __init__(
        self, mean: tuple[float, ...], scale: tuple[float, ...], device: torch.device
    ) -> None:
        self._mean = torch.tensor(mean, device=device)
        self._scale = torch.tensor(scale, device=device)

    def __call__(
        self, states: States, frames: Tensor, rows: Tensor, lengths: Tensor, moved: States
    ) -> Tensor:
        return (frames - self._mean) * self._scale


def _front_end(spec: ModelSpec, device: torch.device) -> _LogMel | _Scale:
    front = spec.frontend
    if isinstance(front, LogMelFrontEnd):
        return _LogMel(spec, front, device)
    return _Scale(front.mean, front.scale, device)


class _Encoder:
    """The causal convolution: a matrix product over rows that overlap by all frames but one."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        kernel = weights["encoder.conv.weight"]  # [W, F, frames]
        self._frames = kernel.shape[2]
        self._weight = kernel.transpose(1, 2).reshape(len(kernel), -1).contiguous()
        self._bias = weights["encoder.conv.bias"]

    def __call__(
        self, states: States, features: Tensor, rows: Tensor, lengths: Tensor, moved: States
    ) -> Tensor:
        batch, steps, width = features.shape
        joined = torch.cat([states["past"].index_select(0, rows), features], dim=1)
        past = torch.arange(self._frames - 1, device=features.device)
        behind = (lengths[:, None] + past)[..., None].expand(-1, -1, width)
        moved["past"] = joined.gather(1, behind)
        encoded = features.new_empty(batch * steps, len(self._weight))
        linear(
            joined, self._weight, self._bias, encoded, per_batch=steps,
            batch_stride=joined.shape[1] * width, row_stride=width, epilogue=Epilogue.RELU,
        )  # fmt: skip
        return encoded.view(batch, steps, -1)
