"""The layer and its switches in plain numpy, one frame after the other: what kernels must equal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from surnn.clock import AMPLITUDE_LIMIT, AMPLITUDE_ONE, CLOCK_ONE, clock_basis, increments
from surnn.spec import SwitchMode, SwitchSpec
from surnn.types import Float32, Int64

__all__ = ["layer", "switches"]


def switches(
    spec: SwitchSpec,
    t: Int64,
    features: Float32,
    amplitude: Float32 | None,
    weight: Float32 | None,
    bias: Float32 | None,
    count: int,
) -> NDArray[np.bool_]:
    """Open switches [T, G] at frames t [T] with features [T, F] (`surnn.nn.switches`)."""
    if spec.mode is SwitchMode.NONE:
        return np.ones((len(t), count), dtype=np.bool_)
    assert bias is not None
    a = np.broadcast_to(bias.astype(np.float64), (len(t), count))
    if amplitude is not None:
        inc = increments(spec.frequencies, spec.min_period, spec.max_period)
        scaled = np.clip(amplitude * AMPLITUDE_ONE, -AMPLITUDE_LIMIT, AMPLITUDE_LIMIT)
        # Half to even and in float32, as in training.
        whole = np.round(scaled.astype(np.float32)).astype(np.int64)
        offset = np.round(bias * np.float32(CLOCK_ONE)).astype(np.int64)
        a = (clock_basis(t, inc) @ whole + offset) / CLOCK_ONE
    if weight is not None:
        a = a + features.astype(np.float64) @ weight.astype(np.float64)
    opened: NDArray[np.bool_] = a > 0
    return opened


def layer(
    x: Float32,
    opened: NDArray[np.bool_],
    states: tuple[Float32, ...],
    weights: dict[str, Float32],
) -> tuple[NDArray[np.float64], ...]:
    """All states of all frames [T, H], in float64: h, and suLSTM's c.

    Args:
        x: inputs [T, I].
        opened: open neurons [T, H].
        states: before the first frame: h, and suLSTM's c [H].
        weights: weight_x [GH, I], weight_h [GH, H], bias_x [GH], suGRU's bias_h [H]
            (`surnn.nn.cells`). How many gates G there are says which cell it is.
    """
    wide = {name: w.astype(np.float64) for name, w in weights.items()}
    size = len(states[0])
    step = {1: _surnn, 3: _sugru, 4: _sulstm}[len(weights["weight_h"]) // size]
    now = tuple(state.astype(np.float64) for state in states)
    found = tuple(np.empty((len(x), size)) for _ in states)
    for t, (frame, is_open) in enumerate(zip(x.astype(np.float64), opened, strict=True)):
        wx = (wide["weight_x"] @ frame + wide["bias_x"]).reshape(-1, size)
        uh = (wide["weight_h"] @ now[0]).reshape(-1, size)
        new = step(wx, uh, now, wide)
        now = tuple(np.where(is_open, a, b) for a, b in zip(new, now, strict=True))
        for all_states, state in zip(found, now, strict=True):
            all_states[t] = state
    return found


Wide = NDArray[np.float64]


def _sigmoid(x: Wide) -> Wide:
    y: Wide = 1.0 / (1.0 + np.exp(-x))
    return y


def _surnn(wx: Wide, uh: Wide, now: tuple[Wide, ...], _: dict[str, Wide]) -> tuple[Wide, ...]:
    return (np.tanh(wx[0] + uh[0]),)


def _sugru(wx: Wide, uh: Wide, now: tuple[Wide, ...], wide: dict[str, Wide]) -> tuple[Wide, ...]:
    z, r = _sigmoid(wx[0] + uh[0]), _sigmoid(wx[1] + uh[1])
    n = np.tanh(wx[2] + r * (uh[2] + wide["bias_h"]))
    return ((1 - z) * n + z * now[0],)


def _sulstm(wx: Wide, uh: Wide, now: tuple[Wide, ...], _: dict[str, Wide]) -> tuple[Wide, ...]:
    i, f, g, o = wx + uh
    c = _sigmoid(f) * now[1] + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c
