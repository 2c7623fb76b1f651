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
    h: Float32,
    weights: dict[str, Float32],
) -> NDArray[np.float64]:
    """Hidden states [T, H], in float64.

    Args:
        x: inputs [T, I].
        opened: open neurons [T, H].
        h: state before the first frame [H].
        weights: weight_x [3H, I], weight_h [3H, H], bias_x [3H], bias_h [H] (`surnn.nn.cells`).
    """
    wide = {name: w.astype(np.float64) for name, w in weights.items()}
    state, size = h.astype(np.float64), len(h)
    states = np.empty((len(x), size))
    for t, (frame, is_open) in enumerate(zip(x.astype(np.float64), opened, strict=True)):
        wx = wide["weight_x"] @ frame + wide["bias_x"]
        uh = wide["weight_h"] @ state
        z = 1.0 / (1.0 + np.exp(-(wx[:size] + uh[:size])))
        r = 1.0 / (1.0 + np.exp(-(wx[size : 2 * size] + uh[size : 2 * size])))
        n = np.tanh(wx[2 * size :] + r * (uh[2 * size :] + wide["bias_h"]))
        state = np.where(is_open, (1 - z) * n + z * state, state)
        states[t] = state
    return states
