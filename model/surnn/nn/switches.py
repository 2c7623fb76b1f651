"""Binary switches: which neurons update in which frame (arXiv 2603.02226, the gate equation).

    a[t] = A [sin(omega t), cos(omega t)]  +  W x[t]  +  b          g[t] = H(a[t])
           clock (the paper)                  input (our extension)

H(a) = 1 for a > 0, else 0. The clock lives on an integer grid (`surnn.clock`): amplitudes and bias
are rounded to integers in training too, so the trained gate is the served gate, bit for bit. A
switch sees the frame number and the front end's features, never the hidden state, so the switches
of a whole chunk are known before its recurrence starts.

The step H has no gradient; training uses a surrogate (`surnn.nn.slopes`).
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from surnn.clock import (
    AMPLITUDE_LIMIT,
    AMPLITUDE_ONE,
    CLOCK_ONE,
    PHASE_BITS,
    SINE_PEAK,
    SINE_TABLE,
    TABLE_SIZE,
    increments,
)
from surnn.errors import InvalidConfig
from surnn.nn.slopes import SURROGATE_WIDTH, Surrogate, heaviside
from surnn.spec import SwitchMode, SwitchSpec

__all__ = ["Switch", "clock_basis"]


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


def _round(x: Tensor) -> Tensor:
    return cast(Tensor, _Round.apply(x))  # type: ignore[no-untyped-call]


def clock_basis(t: Tensor, inc: Tensor, table: Tensor) -> Tensor:
    """Integer sines and cosines [..., 2K] of frame numbers t [...]: `surnn.clock` in torch."""
    index = ((t[..., None] * inc) & (2**PHASE_BITS - 1)) >> (PHASE_BITS - 12)
    cosine_index = (index + TABLE_SIZE // 4) & (TABLE_SIZE - 1)
    return table[torch.cat([index, cosine_index], dim=-1)]


class Switch(nn.Module):
    """The switches of one layer.

    Parameters: `amplitude` [2K, G] and `bias` [G] in units of a = 1, `weight` [F, G]; G switches,
    one for each group of neurons.

    `surrogate` and `width` shape the gradient and nothing else. With `soft`, gates are sigmoids:
    an ablation of the paper that no runtime serves, because every neuron then moves in every frame.
    """

    inc: Tensor
    table: Tensor

    def __init__(self, spec: SwitchSpec, features: int, switches: int) -> None:
        super().__init__()
        self.spec = spec
        self.switches = switches
        self.surrogate = Surrogate.SIGMOID
        self.width = SURROGATE_WIDTH
        self.soft = False
        inc = increments(spec.frequencies, spec.min_period, spec.max_period)
        self.register_buffer("inc", torch.from_numpy(inc), persistent=False)
        self.register_buffer("table", torch.from_numpy(SINE_TABLE), persistent=False)
        has_clock = spec.mode in (SwitchMode.CLOCK, SwitchMode.CLOCK_INPUT)
        has_input = spec.mode in (SwitchMode.INPUT, SwitchMode.CLOCK_INPUT)
        self.amplitude = (
            nn.Parameter(torch.empty(2 * spec.frequencies, switches)) if has_clock else None
        )
        self.weight = nn.Parameter(torch.empty(features, switches)) if has_input else None
        self.bias = nn.Parameter(torch.empty(switches)) if has_clock or has_input else None
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Give every switch its own schedule, open at the spec's rate.

        Unit variance for the clock; the bias is then read off the sorted values of the clock, so
        the rate holds for each switch and not only on average.
        """
        p = self.spec.open_rate
        deviation = torch.zeros(self.switches)
        if self.weight is not None:
            self.weight.normal_(0.0, 0.5 / math.sqrt(len(self.weight)))
            deviation += 0.5
        if self.amplitude is not None:
            k = self.spec.frequencies
            alpha = torch.randn(k, self.switches) * math.sqrt(2.0 / k)
            phase = torch.rand(k, self.switches) * 2 * math.pi
            limit = AMPLITUDE_LIMIT / AMPLITUDE_ONE
            both = torch.cat([alpha * phase.cos(), alpha * phase.sin()]).clamp(-limit, limit)
            self.amplitude.copy_(both)
        if self.bias is None:
            return
        if self.amplitude is not None:
            t = torch.randint(0, 2**31, (8192,))
            basis = clock_basis(t, self.inc, self.table).float()
            clock = basis @ self._integers(self.amplitude) / CLOCK_ONE
            self.bias.copy_(-torch.quantile(clock, 1.0 - p, dim=0))
        else:
            self.bias.copy_(deviation * math.sqrt(2.0) * torch.erfinv(torch.tensor(2 * p - 1)))

    @torch.no_grad()
    def open_every(self, frames: int) -> None:
        """Make all switches open in every `frames`-th frame, and in no other.

        A clock of one frequency does it: of `frames` values of cos(2 pi t / frames + phase), one
        after the other, one exceeds cos(pi / frames) whatever the phase, so the rate holds also
        where the clock's rounded increment has drifted (by a frame in 10^9 or so), but for a few
        phases in 100, which the levels of the sine table cannot tell apart. Raises
        `InvalidConfig` where the spec has no such clock.
        """
        spec = self.spec
        if (
            self.amplitude is None
            or self.weight is not None
            or (spec.frequencies, spec.min_period, spec.max_period) != (1, frames, frames)
        ):
            raise InvalidConfig(
                f"switches have mode {spec.mode.value!r} and {spec.frequencies} frequencies with "
                f"periods {spec.min_period:g} to {spec.max_period:g}, expected a clock of one "
                f"period of {frames} frames"
            )
        assert self.bias is not None
        peak = AMPLITUDE_LIMIT / AMPLITUDE_ONE
        self.amplitude[0] = 0.0
        self.amplitude[1] = peak
        self.bias.fill_(-peak * math.cos(math.pi / frames))

    def _gate(self, a: Tensor) -> Tensor:
        if self.soft:
            return torch.sigmoid(a / self.width)
        return heaviside(a, self.width, self.surrogate)

    @staticmethod
    def _integers(amplitude: Tensor) -> Tensor:
        return _round((amplitude * AMPLITUDE_ONE).clamp(-AMPLITUDE_LIMIT, AMPLITUDE_LIMIT))

    def forward(self, t: Tensor, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Gates and their pre-activations a, both [B, T, G]; a is None where nothing drives them.

        t: frame number of each session's first frame, int64 [B]; features [B, T, F].
        """
        batch, steps = features.shape[:2]
        if self.bias is None:
            return features.new_ones(batch, steps, self.switches), None
        if self.amplitude is None:
            assert self.weight is not None
            a = features @ self.weight + self.bias
            return self._gate(a), a
        frame = t[:, None] + torch.arange(steps, device=t.device)  # [B, T]
        basis = clock_basis(frame, self.inc, self.table).to(features.dtype)
        # Whole numbers below 2^24: exact in any order of summation.
        whole = basis @ self._integers(self.amplitude) + _round(self.bias * CLOCK_ONE)
        a = whole * (1.0 / CLOCK_ONE)
        if self.weight is not None:
            a = a + features @ self.weight
        return self._gate(a), a


# The largest sum that the integer clock can reach must stay exact in float32.
assert 2 * 32 * SINE_PEAK * AMPLITUDE_LIMIT < 2**23
