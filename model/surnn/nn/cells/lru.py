"""LRU: a linear recurrence with a complex diagonal (arXiv 2303.06349).

    lambda = exp(-exp(nu) + i exp(theta))                    |lambda| < 1 whatever is trained
    h' = lambda * h + gamma * (B x)                          gamma = exp(gamma_log)
    y  = Re(C h') + D x

nu and theta start so that the lambdas are spread evenly over a ring of the complex plane, and
gamma = sqrt(1 - |lambda|^2) keeps the size of h near that of B x. The state is two real vectors,
real and imaginary part: [2, H]. What the layer gives has H numbers too, so C is [H, H].

lambda is rounded to float32 in every precision: it is raised to the power of the number of frames,
and a difference in its last bit would grow with them. Training scans (`surnn.nn.scan`); all else
goes frame by frame.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from surnn.nn.cells.base import CellOutput, RecurrentCell, State
from surnn.nn.scan import linear_scan

__all__ = ["LRU"]


class LRU(RecurrentCell):
    """One LRU layer."""

    def __init__(
        self,
        inputs: int,
        hidden: int,
        r_min: float = 0.9,
        r_max: float = 0.999,
        max_phase: float = 2 * math.pi,
    ) -> None:
        """The ring: r_min <= |lambda| <= r_max, 0 <= angle <= max_phase."""
        super().__init__(inputs, hidden)
        squares = torch.rand(hidden) * (r_max**2 - r_min**2) + r_min**2
        self.nu_log = nn.Parameter(torch.log(-0.5 * torch.log(squares)))
        # Not 0, whose logarithm is none.
        self.theta_log = nn.Parameter(torch.log(max_phase * torch.rand(hidden).clamp(min=1e-4)))
        self.gamma_log = nn.Parameter(0.5 * torch.log(1 - squares))
        self.weight_b = nn.Parameter(torch.randn(2, hidden, inputs) / math.sqrt(2 * inputs))
        self.weight_c = nn.Parameter(torch.randn(2, hidden, hidden) / math.sqrt(hidden))
        self.weight_d = nn.Parameter(torch.randn(hidden, inputs) / math.sqrt(inputs))

    def eigenvalues(self) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of lambda [H], both exact in float32."""
        radius = torch.exp(-torch.exp(self.nu_log.double()))
        angle = torch.exp(self.theta_log.double())
        return _rounded(radius * angle.cos()), _rounded(radius * angle.sin())

    def _driven(self, x: Tensor) -> Tensor:
        """gamma * (B x) [..., 2, H] of x [..., I]."""
        weight = torch.exp(self.gamma_log)[:, None] * self.weight_b
        driven = nn.functional.linear(x, weight.flatten(0, 1))
        return driven.reshape(*x.shape[:-1], 2, self.hidden)

    def _read(self, h: Tensor, x: Tensor) -> Tensor:
        """y [..., H] of h [..., 2, H] and x [..., I]."""
        real = h[..., 0, :] @ self.weight_c[0].T - h[..., 1, :] @ self.weight_c[1].T
        return real + nn.functional.linear(x, self.weight_d)

    def step(self, x: Tensor, gate: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """See `RecurrentCell.step`."""
        re, im = (part.to(x.dtype) for part in self.eigenvalues())
        h = _advance(re, im, self._driven(x), gate > 0, state[0])
        return self._read(h, x), gate, (h,)

    def forward(self, x: Tensor, gates: Tensor, state: State) -> CellOutput:
        """See `RecurrentCell.forward`."""
        re, im = (part.to(x.dtype) for part in self.eigenvalues())
        driven = self._driven(x).transpose(0, 1)  # [T, B, 2, H]
        is_open, (h,) = gates.transpose(0, 1) > 0, state
        if self.scans:
            states = _scan(re, im, driven, is_open, h)
        else:
            states = torch.empty_like(driven)
            for i in range(len(driven)):
                h = _advance(re, im, driven[i], is_open[i], h)
                states[i] = h
        last = states[-1] if len(states) else h
        return CellOutput(self._read(states.transpose(0, 1), x), gates, (last,))


def _advance(re: Tensor, im: Tensor, driven: Tensor, is_open: Tensor, h: Tensor) -> Tensor:
    """lambda * h + driven, [B, 2, H], where the gate [B, H] is open."""
    h_re, h_im = h.unbind(1)
    new = torch.stack([re * h_re - im * h_im, re * h_im + im * h_re], dim=1) + driven
    return torch.where(is_open[:, None], new, h)


def _scan(re: Tensor, im: Tensor, driven: Tensor, is_open: Tensor, h: Tensor) -> Tensor:
    """All states [T, B, 2, H]."""
    factor = torch.complex(re, im)[None, None]  # [1, 1, H]
    added = torch.complex(driven[..., 0, :], driven[..., 1, :])
    if bool(is_open.all()):
        factor = factor.expand(len(driven), -1, -1)
    else:
        factor = torch.where(is_open, factor, torch.ones_like(factor))
        added = torch.where(is_open, added, torch.zeros_like(added))
    states = linear_scan(factor, added, torch.complex(h[:, 0], h[:, 1]))
    return torch.stack([states.real, states.imag], dim=2)


def _rounded(x: Tensor) -> Tensor:
    """x as float32 holds it, with the gradient of x."""
    return x + (x.float().to(x.dtype) - x).detach()
