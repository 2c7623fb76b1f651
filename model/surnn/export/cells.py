"""The recurrence of each cell as ONNX nodes: the equations of `surnn.nn.cells`.

Where a stock GRU node can carry a closed neuron exactly, it does the work. Other cells are a Scan
over frames, one after the other, so that any cut of a stream into chunks gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surnn.cells import Cell
from surnn.export.builder import GraphBuilder
from surnn.types import Float32

__all__ = ["CELL_GRAPHS", "SATURATION", "CellGraph", "Recurrence"]

SATURATION = 1e4
"""Weight of a closed switch into the update gate; trained pre-activations stay under 100."""

COUNT_LIMIT = 2.0**24
"""Where the counts of a CMRU saturate (`surnn.nn.cells.cmru`)."""

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class CellGraph:
    """What a cell's nodes are made from."""

    weights: Weights
    """The cell's own, by their names in the cell."""
    hidden: int
    x: str
    """Inputs [B, T, I]."""
    gates: str
    """1 where neurons may move [B, T, W]: W gates of H / W neighbouring neurons each."""
    width: int
    """W"""
    states: tuple[str, ...]
    """States [B, ...] in front of the first frame."""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The names of what a cell's nodes give."""

    outputs: str
    """[B, T, H]"""
    states: tuple[str, ...]
    """Behind each session's last frame."""
    updates: str | None = None
    """Updated neurons [B, T, H]; None: those whose gates are open."""


Build = Callable[[GraphBuilder, CellGraph], Recurrence]


def _sugru(g: GraphBuilder, c: CellGraph) -> Recurrence:
    """A closed switch is one more input channel with a weight of 1e4 into the update gate: sigmoid
    then gives exactly 1, and ONNX's `(1 - z) * n + z * h` is exactly h."""
    w, hidden = c.weights, c.hidden
    closing = np.zeros((3 * hidden, c.width), np.float32)
    closing[:hidden] = SATURATION * _owner(c)
    bias = np.concatenate([w["bias_x"], np.zeros(2 * hidden, np.float32), w["bias_h"]])
    wide = np.concatenate([w["weight_x"], closing], axis=1)
    return _gru_node(g, c, wide, w["weight_h"], bias)


def _surnn(g: GraphBuilder, c: CellGraph) -> Recurrence:
    """A GRU node whose update gate is the closed switch and whose reset gate is always 1: a hard
    sigmoid is exactly 0 and 1 there, so h' is exactly tanh(...) or exactly h."""
    w, hidden = c.weights, c.hidden
    none = np.zeros((hidden, w["weight_x"].shape[1]), np.float32)
    zeros = np.zeros((hidden, c.width), np.float32)
    wide = np.block(
        [[none, 2 * SATURATION * _owner(c)], [none, zeros], [w["weight_x"], zeros]]
    ).astype(np.float32)
    recurrent = np.concatenate([np.zeros((2 * hidden, hidden), np.float32), w["weight_h"]])
    saturated = np.full(hidden, SATURATION, np.float32)
    no_bias = np.zeros(3 * hidden, np.float32)
    bias = np.concatenate([-saturated, saturated, w["bias_x"], no_bias])
    return _gru_node(g, c, wide, recurrent, bias, activations=["HardSigmoid", "Tanh"])


def _sulstm(g: GraphBuilder, c: CellGraph) -> Recurrence:
    """A Scan: the LSTM node computes h = o * tanh(c) anew where a closed switch holds c."""
    w = c.weights
    projected = _linear(g, c.x, w["weight_x"], w["bias_x"])
    recurrent = g.const(w["weight_h"].T, np.float32, "U")

    def frame(b: GraphBuilder, state: Sequence[str], item: Sequence[str]) -> list[str]:
        (h, cell), (x, gate) = state, item
        i, f, candidate, o = b.split(b.op("Add", x, b.op("MatMul", h, recurrent)), 4, axis=1)
        kept = b.op("Mul", b.op("Sigmoid", f), cell)
        added = b.op("Mul", b.op("Sigmoid", i), b.op("Tanh", candidate))
        new_cell = b.op("Add", kept, added)
        new_h = b.op("Mul", b.op("Sigmoid", o), b.op("Tanh", new_cell))
        is_open = b.op("Cast", gate, to=b.BOOL)
        new_h = b.op("Where", is_open, new_h, h)
        return [new_h, b.op("Where", is_open, new_cell, cell), new_h]

    h, cell, outputs = g.scan(frame, c.states, [projected, _per_neuron(g, c)])
    return Recurrence(outputs, (h, cell))


def _lru(g: GraphBuilder, c: CellGraph) -> Recurrence:
    """Real and imaginary part side by side: [B, T, 2H] for what drives, [B, 2, H] for the state."""
    w, hidden = c.weights, c.hidden
    radius = np.exp(-np.exp(w["nu_log"].astype(np.float64)))
    angle = np.exp(w["theta_log"].astype(np.float64))
    factor = np.stack([radius * np.cos(angle), radius * np.sin(angle)]).astype(np.float32)
    # [re, im] * re  +  [im, re] * [-im, im]
    straight = g.const(np.stack([factor[0], factor[0]]), np.float32, "lambda")
    crossed = g.const(np.stack([-factor[1], factor[1]]), np.float32, "lambda")
    weight = np.exp(w["gamma_log"])[:, None] * w["weight_b"]
    driven = g.op("Reshape", _linear(g, c.x, weight.reshape(2 * hidden, -1)), g.ints(0, 0, 2, -1))
    swap = g.ints(1, 0)

    def frame(b: GraphBuilder, state: Sequence[str], item: Sequence[str]) -> list[str]:
        (h,), (added, gate) = state, item
        turned = b.op("Mul", b.op("Gather", h, swap, axis=1), crossed)
        new = b.op("Add", b.op("Add", b.op("Mul", h, straight), turned), added)
        new = b.op("Where", b.op("Cast", gate, to=b.BOOL), new, h)
        return [new, new]

    gates = g.op("Unsqueeze", _per_neuron(g, c), g.ints(2))  # [B, T, 1, H]
    last, states = g.scan(frame, c.states, [driven, gates])
    flat = g.op("Reshape", states, g.ints(0, 0, -1))
    read = np.concatenate([w["weight_c"][0], -w["weight_c"][1]], axis=1)  # [H, 2H]
    outputs = g.op("Add", _linear(g, flat, read), _linear(g, c.x, w["weight_d"]))
    return Recurrence(outputs, (last,))


def _egru(g: GraphBuilder, c: CellGraph) -> Recurrence:
    w, hidden = c.weights, c.hidden
    bias = np.concatenate([np.zeros(2 * hidden, np.float32), w["bias_h"]])
    projected = _linear(g, c.x, w["weight_x"], w["bias_x"])
    recurrent, bias_h = g.const(w["weight_h"].T, np.float32, "U"), g.const(bias, np.float32)
    threshold = g.const(np.clip(w["threshold"], 0, 1), np.float32, "threshold")
    one, zero = g.const(1.0, np.float32), g.const(0.0, np.float32)

    def frame(b: GraphBuilder, state: Sequence[str], item: Sequence[str]) -> list[str]:
        (cell, y), (x, gate) = state, item
        hidden_part = b.op("Add", b.op("MatMul", y, recurrent), bias_h)
        x_z, x_r, x_n = b.split(x, 3, axis=1)
        h_z, h_r, h_n = b.split(hidden_part, 3, axis=1)
        z, r = (b.op("Sigmoid", b.op("Add", *pair)) for pair in ((x_z, h_z), (x_r, h_r)))
        n = b.op("Tanh", b.op("Add", x_n, b.op("Mul", r, h_n)))
        kept, added = b.op("Mul", z, cell), b.op("Mul", b.op("Sub", one, z), n)
        new = b.op("Add", kept, added)
        event = b.op("Cast", b.op("Greater", b.op("Sub", new, threshold), zero), to=b.FLOAT)
        is_open = b.op("Cast", gate, to=b.BOOL)
        reset = b.op("Sub", new, b.op("Mul", event, threshold))
        new_cell = b.op("Where", is_open, reset, cell)
        new_y = b.op("Where", is_open, b.op("Mul", event, new), y)
        return [new_cell, new_y, new_y, b.op("Mul", event, gate)]

    cell, y, outputs, events = g.scan(frame, c.states, [projected, _per_neuron(g, c)])
    return Recurrence(outputs, (cell, y), events)


def _bmru(g: GraphBuilder, c: CellGraph, *, counts: bool = False) -> Recurrence:
    w = c.weights
    value, beta = g.split(_linear(g, c.x, w["weight_x"], w["bias_x"]), 2, axis=2)
    zero, one = g.const(0.0, np.float32), g.const(1.0, np.float32)
    is_written = g.op("GreaterOrEqual", g.op("Sub", g.op("Abs", value), g.op("Abs", beta)), zero)
    written = g.op("Mul", g.op("Cast", is_written, to=g.FLOAT), _per_neuron(g, c))
    sign = g.op("Where", g.op("GreaterOrEqual", value, zero), one, g.const(-1.0, np.float32))

    def frame(b: GraphBuilder, state: Sequence[str], item: Sequence[str]) -> list[str]:
        (s,), (v, z) = state, item
        if counts:
            v = b.op("Clip", b.op("Add", s, v), least, most)
        new = b.op("Where", b.op("Cast", z, to=b.BOOL), v, s)
        return [new, new]

    least, most = (g.const(bound, np.float32) for bound in (-COUNT_LIMIT, COUNT_LIMIT))
    last, states = g.scan(frame, c.states, [sign, written])
    outputs = g.op("Mul", states, g.const(w["alpha"], np.float32, "alpha"))
    return Recurrence(outputs, (last,), written)


def _cmru(g: GraphBuilder, c: CellGraph) -> Recurrence:
    return _bmru(g, c, counts=True)


def _mingru(g: GraphBuilder, c: CellGraph) -> Recurrence:
    z, v = g.split(_linear(g, c.x, c.weights["weight_x"]), 2, axis=2)
    z, half = g.op("Sigmoid", z), g.const(0.5, np.float32)
    is_positive = g.op("GreaterOrEqual", v, g.const(0.0, np.float32))
    candidate = g.op("Where", is_positive, g.op("Add", v, half), g.op("Sigmoid", v))
    kept, added = g.op("Sub", g.const(1.0, np.float32), z), g.op("Mul", z, candidate)

    def frame(b: GraphBuilder, state: Sequence[str], item: Sequence[str]) -> list[str]:
        (h,), (keep, add, gate) = state, item
        new = b.op("Add", b.op("Mul", keep, h), add)
        new = b.op("Where", b.op("Cast", gate, to=b.BOOL), new, h)
        return [new, new]

    last, states = g.scan(frame, c.states, [kept, added, _per_neuron(g, c)])
    return Recurrence(states, (last,))


def _gru_node(
    g: GraphBuilder,
    c: CellGraph,
    weight: Float32,
    recurrent: Float32,
    bias: Float32,
    **attributes: list[str],
) -> Recurrence:
    """One GRU node over the inputs and, behind them, the closed gates."""
    closed = g.op("Sub", g.const(1.0, np.float32), c.gates)
    inputs = g.op("Transpose", g.op("Concat", c.x, closed, axis=2), perm=[1, 0, 2])
    y, last = g.ops(
        "GRU",
        2,
        inputs,
        g.const(weight[None], np.float32, "W"),
        g.const(recurrent[None], np.float32, "R"),
        g.const(bias[None], np.float32, "B"),
        "",
        g.op("Unsqueeze", c.states[0], g.ints(0)),
        hidden_size=c.hidden,
        linear_before_reset=1,
        **attributes,
    )
    outputs = g.op("Transpose", g.op("Squeeze", y, g.ints(1)), perm=[1, 0, 2])
    return Recurrence(outputs, (g.op("Squeeze", last, g.ints(0)),))


def _owner(c: CellGraph) -> Float32:
    """1 where a gate (column) is that of a neuron (row): [H, W]."""
    owner = np.zeros((c.hidden, c.width), np.float32)
    owner[np.arange(c.hidden), np.arange(c.hidden) * c.width // c.hidden] = 1.0
    return owner


def _per_neuron(g: GraphBuilder, c: CellGraph) -> str:
    """The gates [B, T, H], or [B, T, 1] where all neurons share one."""
    if c.width in (1, c.hidden):
        return c.gates
    owner = np.arange(c.hidden) * c.width // c.hidden
    return g.op("Gather", c.gates, g.const(owner, np.int64), axis=2)


def _linear(g: GraphBuilder, x: str, weight: Float32, bias: Float32 | None = None) -> str:
    """W x + b for x [..., I] and W [O, I]."""
    y = g.op("MatMul", x, g.const(weight.T, np.float32, "W"))
    return y if bias is None else g.op("Add", y, g.const(bias, np.float32, "b"))


CELL_GRAPHS: dict[Cell, Build] = {
    Cell.SURNN: _surnn,
    Cell.SUGRU: _sugru,
    Cell.SULSTM: _sulstm,
    Cell.GRU: _sugru,
    Cell.LSTM: _sulstm,
    Cell.LRU: _lru,
    Cell.EGRU: _egru,
    Cell.BMRU: _bmru,
    Cell.CMRU: _cmru,
    Cell.MINGRU: _mingru,
}
