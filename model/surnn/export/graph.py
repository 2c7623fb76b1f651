"""The ONNX graph of a model: same weights, same numbers, any batch and any number of frames.

Built by hand rather than traced: a traced GRU has its example's length baked in, and may lose
`linear_before_reset`. The recurrences are in `surnn.export.cells`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from surnn.clock import (
    AMPLITUDE_LIMIT,
    AMPLITUDE_ONE,
    CLOCK_ONE,
    PHASE_BITS,
    SINE_TABLE,
    TABLE_SIZE,
    increments,
)
from surnn.export.block import after_cell, before_cell
from surnn.export.builder import GraphBuilder
from surnn.export.cells import CELL_GRAPHS, CellGraph
from surnn.fingerprint import fingerprint
from surnn.frontend import LOG_FLOOR, dft_matrix
from surnn.runtimes.onnx import FINGERPRINT_KEY, METADATA_KEY
from surnn.spec import LogMelFrontEnd, ModelSpec, ScaleFrontEnd, SwitchMode

__all__ = ["build"]

Weights = Mapping[str, NDArray[np.float32]]


def build(spec: ModelSpec, weights: Weights) -> onnx.ModelProto:
    """The graph (signature in `surnn.runtimes.onnx`) of a network's state dict."""
    g = GraphBuilder()
    frames = g.input("frames", "float32", ["batch", "time", spec.frame_size])
    lengths = g.input("lengths", "int64", ["batch"])
    state = {s.name: g.input(s.name, s.dtype, ["batch", *s.shape]) for s in spec.states}

    steps = g.op("Gather", g.op("Shape", frames), g.const(1, np.int64), axis=0)
    offsets = g.op("Range", g.const(0, np.int64), steps, g.const(1, np.int64))  # [T]
    valid = g.op("Less", offsets, g.op("Unsqueeze", lengths, g.ints(1)))  # [B, T]
    valid = g.op("Unsqueeze", g.op("Cast", valid, to=onnx.TensorProto.FLOAT), g.ints(2))

    new = {"t": g.op("Add", state["t"], lengths)}
    if isinstance(spec.frontend, LogMelFrontEnd):
        features, new["context"] = _log_mel(g, spec, frames, state["context"], lengths)
    else:
        features = _scale(g, spec.frontend, frames)

    if spec.encoder:
        features, new["past"] = _encoder(g, spec, weights, features, state["past"], lengths)

    frame = g.op("Add", g.op("Unsqueeze", state["t"], g.ints(1)), offsets)  # [B, T]
    x, opened, outputs = features, [], []
    for i in range(len(spec.layers)):
        states = tuple(s.name for s in spec.layer_states(i))
        before = tuple(state[name] for name in states)
        x, after, count = _layer(g, spec, weights, i, x, features, frame, valid, before)
        new |= dict(zip(states, after, strict=True))
        opened.append(count)
        outputs.append(x)
    head = g.const(weights["head.weight"].T, np.float32, "head")
    logits = g.op("MatMul", g.op("Concat", *outputs, axis=2), head)
    logits = g.op("Add", logits, g.const(weights["head.bias"], np.float32))

    g.output("logits", logits, "float32", ["batch", "time", len(spec.labels)])
    layers = len(spec.layers)
    g.output("opened", g.op("Concat", *opened, axis=2), "float32", ["batch", "time", layers])
    for s in spec.states:
        g.output(f"next_{s.name}", new[s.name], s.dtype, ["batch", *s.shape])
    return g.model(
        spec.name,
        {METADATA_KEY: spec.model_dump_json(), FINGERPRINT_KEY: fingerprint(spec, weights)},
    )


def _log_mel(
    g: GraphBuilder, spec: ModelSpec, frames: str, context: str, lengths: str
) -> tuple[str, str]:
    """Features [B, T, F] and the next context: `surnn.frontend.log_mel` as a convolution."""
    front = spec.frontend
    assert isinstance(front, LogMelFrontEnd)
    basis, bands = dft_matrix(spec)
    samples = g.op("Concat", context, g.op("Reshape", frames, g.ints(0, -1)), axis=1)
    kernel = g.const(basis.T[:, None, :], np.float32, "dft")  # [2N, 1, window]
    spectrum = g.op(
        "Conv",
        g.op("Unsqueeze", samples, g.ints(1)),
        kernel,
        kernel_shape=[front.window],
        strides=[spec.hop],
    )
    power = g.op("Transpose", g.op("Mul", spectrum, spectrum), perm=[0, 2, 1])  # [B, T, 2N]
    energy = g.op("MatMul", power, g.const(bands, np.float32, "bands"))
    log = g.op("Log", g.op("Add", energy, g.const(LOG_FLOOR, np.float32)))
    shifted = g.op("Add", log, g.const(front.offset, np.float32))
    features = g.op("Mul", shifted, g.const(front.scale, np.float32))
    begin = g.op("Mul", lengths, g.const(spec.hop, np.int64))
    window = g.const(np.arange(spec.context), np.int64)
    behind = g.op("Add", g.op("Unsqueeze", begin, g.ints(1)), window)
    return features, g.op("GatherElements", samples, behind, axis=1)


def _scale(g: GraphBuilder, front: ScaleFrontEnd, frames: str) -> str:
    centred = g.op("Sub", frames, g.const(front.mean, np.float32))
    return g.op("Mul", centred, g.const(front.scale, np.float32))


def _encoder(
    g: GraphBuilder, spec: ModelSpec, weights: Weights, features: str, past: str, lengths: str
) -> tuple[str, str]:
    """Encoded frames [B, T, width] and the next past: `surnn.nn.encoder.Encoder`."""
    assert spec.encoder
    joined = g.op("Concat", past, features, axis=1)
    encoded = g.op(
        "Conv",
        g.op("Transpose", joined, perm=[0, 2, 1]),
        g.const(weights["encoder.conv.weight"], np.float32, "encoder"),
        g.const(weights["encoder.conv.bias"], np.float32),
        kernel_shape=[spec.encoder.frames],
    )
    encoded = g.op("Transpose", g.op("Relu", encoded), perm=[0, 2, 1])
    offsets = g.const(np.arange(spec.encoder.frames - 1), np.int64)
    behind = g.op("Add", g.op("Unsqueeze", lengths, g.ints(1)), offsets)  # [B, frames - 1]
    shape = g.op("Shape", past)
    behind = g.op("Expand", g.op("Unsqueeze", behind, g.ints(2)), shape)
    return encoded, g.op("GatherElements", joined, behind, axis=1)


def _layer(
    g: GraphBuilder,
    spec: ModelSpec,
    weights: Weights,
    i: int,
    x: str,
    features: str,
    frame: str,
    valid: str,
    states: tuple[str, ...],
) -> tuple[str, tuple[str, ...], str]:
    """Outputs [B, T, H] of layer i, its states behind them, and how many neurons each frame
    updated [B, T, 1]: `surnn.nn.network.Layer`."""
    layer = spec.layers[i]
    if layer.switch.mode is SwitchMode.NONE:
        gates, width = valid, 1
    else:
        gates, width = _gate(g, spec, weights, i, frame, features), layer.switches
        gates = g.op("Mul", gates, valid)  # [B, T, G]
    cell, block = (_part(weights, f"layers.{i}.{part}.") for part in ("cell", "block"))
    seen = before_cell(g, layer.block, block, x) if layer.block else x
    found = CELL_GRAPHS[layer.cell](g, CellGraph(cell, layer.hidden, seen, gates, width, states))
    y = found.outputs
    if layer.block:
        y = after_cell(g, layer.block, block, x, y)
    if found.updates is not None:
        count = g.op("ReduceSum", found.updates, g.ints(2), keepdims=1)
    else:
        open_gates = g.op("ReduceSum", gates, g.ints(2), keepdims=1)
        count = g.op("Mul", open_gates, g.const(layer.hidden // width, np.float32))
    return y, found.states, count


def _part(weights: Weights, prefix: str) -> Weights:
    return {k.removeprefix(prefix): w for k, w in weights.items() if k.startswith(prefix)}


def _gate(
    g: GraphBuilder, spec: ModelSpec, weights: Weights, i: int, frame: str, features: str
) -> str:
    """Switches [B, T, G] of layer i: `surnn.nn.switches.Switch`."""
    switch = spec.layers[i].switch
    prefix = f"layers.{i}.switch."
    bias = weights[prefix + "bias"]
    pre = None
    if switch.mode is not SwitchMode.INPUT:
        # Round as training does, half to even, in float32.
        amplitude = np.round(
            np.clip(
                weights[prefix + "amplitude"] * np.float32(AMPLITUDE_ONE),
                -AMPLITUDE_LIMIT,
                AMPLITUDE_LIMIT,
            )
        )
        bias = np.round(bias * np.float32(CLOCK_ONE))
        basis = _clock_basis(
            g, frame, increments(switch.frequencies, switch.min_period, switch.max_period)
        )
        pre = g.op("MatMul", basis, g.const(amplitude, np.float32, "clock"))
        pre = g.op("Add", pre, g.const(bias, np.float32))
    if switch.mode is not SwitchMode.CLOCK:
        driven = g.op("MatMul", features, g.const(weights[prefix + "weight"], np.float32))
        if pre is None:
            pre = g.op("Add", driven, g.const(bias, np.float32))
        else:
            pre = g.op("Mul", pre, g.const(1.0 / CLOCK_ONE, np.float32))
            pre = g.op("Add", pre, driven)
    assert pre is not None
    is_open = g.op("Greater", pre, g.const(0.0, np.float32))
    return g.op("Cast", is_open, to=onnx.TensorProto.FLOAT)


def _clock_basis(g: GraphBuilder, frame: str, inc: NDArray[np.int64]) -> str:
    """Integer sines and cosines [B, T, 2K] as float32: `surnn.clock.clock_basis`."""
    product = g.op("Mul", g.op("Unsqueeze", frame, g.ints(2)), g.const(inc, np.int64))
    phase = g.op("BitwiseAnd", product, g.const(2**PHASE_BITS - 1, np.int64))
    # Not a shift: BitShift takes unsigned numbers only. The phase is not negative.
    index = g.op("Div", phase, g.const(2**PHASE_BITS // TABLE_SIZE, np.int64))
    turned = g.op("Add", index, g.const(TABLE_SIZE // 4, np.int64))
    turned = g.op("BitwiseAnd", turned, g.const(TABLE_SIZE - 1, np.int64))
    table = g.const(SINE_TABLE, np.float32, "sine")
    return g.op("Gather", table, g.op("Concat", index, turned, axis=2), axis=0)
