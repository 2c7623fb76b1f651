"""Is an exported graph the network? Checked before any file is written, and in the tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import torch

from surnn.answers import probabilities
from surnn.cells import Update
from surnn.errors import CorruptModel
from surnn.nn import Network
from surnn.nn.network import Output
from surnn.runtimes.base import FrameBlock
from surnn.runtimes.onnx import OnnxRuntime
from surnn.spec import LayerSpec, ModelKind, ModelSpec, StateSpec, SwitchMode
from surnn.state import StateArrays
from surnn.types import Float32

__all__ = ["Parity", "check_graph", "verify"]

TOLERANCE = 1e-5
"""Largest difference of probabilities between torch and ONNX Runtime."""
STATE_TOLERANCE = 1e-4
"""Of states: wider, because loud trained layers magnify the last bits of a front end in float32."""


SLIPS = 0.05
"""Share of the chunks of a session in which an event, a write or a switch driven by the input may
fall otherwise: a last bit of rounding decides those that stand at their threshold. What follows
cannot be compared then; both sides go on from the same state."""


@dataclass(frozen=True, slots=True)
class Parity:
    """Largest absolute differences that a verification found; of numbers above 1, relative."""

    probs: float
    state: float
    frames: int
    chunks: int = 0
    slipped: int = 0
    """Chunks that could not be compared (see `SLIPS`)."""


def check_graph(model: onnx.ModelProto) -> None:
    """Refuse graphs with known silent faults. Raises `CorruptModel`."""
    for value in (*model.graph.input, *model.graph.output):
        dims = [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        if dims[:1] != ["batch"]:
            raise CorruptModel(f"{value.name} is {dims}, expected a dynamic axis 'batch' first")
        if value.name in ("frames", "logits", "opened") and dims[1] != "time":
            raise CorruptModel(f"{value.name} is {dims}, expected a dynamic axis 'time' second")
    for node in model.graph.node:
        if node.op_type == "GRU":
            flags = {a.name: a.i for a in node.attribute}
            if flags.get("linear_before_reset") != 1:
                raise CorruptModel("a GRU node lacks linear_before_reset=1, expected it")


def verify(network: Network, content: bytes, *, seed: int = 0) -> Parity:
    """Run graph and network side by side: batches 1, 3 and 5, ragged chunks, random states.

    Raises `CorruptModel` when probabilities, states or switches differ, or a closed neuron moved.
    """
    check_graph(onnx.load_from_string(content))
    runtime = OnnxRuntime(content)
    rng = np.random.default_rng(seed)
    worst = Parity(0.0, 0.0, 0)
    for batch in (1, 3, 5):
        worst = _run_batch(network, runtime, batch, rng, worst)
    if worst.slipped > SLIPS * worst.chunks:
        raise CorruptModel(
            f"events, writes or switches differ in {worst.slipped} of {worst.chunks} "
            f"chunks, expected at most {SLIPS:.0%}"
        )
    return worst


def _run_batch(
    network: Network, runtime: OnnxRuntime, batch: int, rng: np.random.Generator, worst: Parity
) -> Parity:
    spec = network.spec
    pool = runtime.new_pool(batch)
    slots = [pool.acquire() for _ in range(batch)]
    state: dict[str, torch.Tensor] = {}
    for s in spec.states:
        values: np.ndarray
        if s.dtype == "int64":
            values = rng.integers(0, 2**61, (batch, *s.shape))
        else:
            values = rng.uniform(-0.9, 0.9, (batch, *s.shape)).astype(np.float32)
        pool.arrays[s.name][pool.rows(slots)] = values
        state[s.name] = torch.from_numpy(values)
    for longest in (1, 7, 63, 1, 29):
        counts = rng.integers(1, longest + 1, batch)
        frames = [_random_frames(spec, int(n), rng) for n in counts]
        padded = torch.zeros(batch, int(counts.max()), spec.frame_size)
        for row, item in zip(padded, frames, strict=True):
            row[: len(item)] = torch.from_numpy(item)
        before = pool.gather(slots)
        with torch.no_grad():
            out = network(padded, torch.from_numpy(counts), state)
        blocks = runtime.run(pool, slots, frames)
        after = pool.gather(slots)
        state = out.state
        same = _same_updates(spec, out, blocks)
        kept = np.flatnonzero(same)
        _check_carry(spec, out, before, after, kept)
        wanted = _rows(out.logits, counts)
        probs = max(
            (_far(_probs(spec, blocks[i].logits), _probs(spec, wanted[i])) for i in kept),
            default=0.0,
        )
        states = max(_far(after[k][kept], v.numpy()[kept]) for k, v in state.items())
        if probs > TOLERANCE or states > STATE_TOLERANCE:
            raise CorruptModel(
                f"graph differs from the network by {probs:.2g} in probabilities and {states:.2g} "
                f"in states, expected at most {TOLERANCE:g} and {STATE_TOLERANCE:g}"
            )
        for i in np.flatnonzero(~same):
            pool.write(slots[i], {name: value[i].numpy() for name, value in state.items()})
        worst = Parity(
            max(worst.probs, probs),
            max(worst.state, states),
            worst.frames + int(counts[kept].sum()),
            worst.chunks + batch,
            worst.slipped + batch - len(kept),
        )
    return worst


def _far(seen: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, as a share of the largest number where that is above 1."""
    if not seen.size:
        return 0.0
    difference = float(np.abs(seen - expected).max())
    return difference / max(1.0, float(np.abs(expected).max()))


def _probs(spec: ModelSpec, logits: Float32) -> Float32:
    return probabilities(logits, spec.head)


def _rows(logits: torch.Tensor, counts: np.ndarray) -> list[Float32]:
    """Each session's logits [T_i, C] without its padding."""
    return [row[:count].numpy() for row, count in zip(logits, counts.tolist(), strict=True)]


def _random_frames(spec: ModelSpec, count: int, rng: np.random.Generator) -> Float32:
    """Noise at a random level: audio around -40 dBFS, sensors around their usual range."""
    noise = rng.standard_normal((count, spec.frame_size))
    if spec.kind is ModelKind.AUDIO:
        return (noise * 10 ** rng.uniform(-4, -0.5)).astype(np.float32)
    front = spec.frontend
    assert front.type == "scale"
    values: Float32 = (noise / np.array(front.scale) + np.array(front.mean)).astype(np.float32)
    return values


def _check_carry(
    spec: ModelSpec,
    out: Output,
    before: StateArrays,
    after: StateArrays,
    kept: np.ndarray,
) -> None:
    """In these sessions, a neuron that was never updated in the chunk holds the same bits."""
    for i, layer in enumerate(spec.layers):
        if not layer.traits.carries:
            continue
        updated = out.gates[i].sum(dim=1).numpy() > 0  # [B, G]
        still = ~np.repeat(updated, layer.hidden // updated.shape[1], axis=1)
        for state in spec.layer_states(i):
            moved = (before[state.name] != after[state.name]) & _as_state(still, state)
            if moved[kept].any():
                raise CorruptModel(
                    f"{int(moved.sum())} of {int(still.sum())} closed neurons of layer {i} moved "
                    f"in {state.name}, expected 0"
                )


def _as_state(neurons: np.ndarray, state: StateSpec) -> np.ndarray:
    """Neurons [B, H] beside a state [B, H] or [B, 2, H]."""
    return neurons.reshape(len(neurons), *[1] * (len(state.shape) - 1), -1)


def _rounding_decides(layer: LayerSpec) -> bool:
    """Can a last bit decide what is updated? Not with a clock, whose numbers are whole."""
    if layer.traits.switched:
        return layer.switch.mode in (SwitchMode.INPUT, SwitchMode.CLOCK_INPUT)
    return layer.traits.update is not Update.ALWAYS


def _same_updates(spec: ModelSpec, out: Output, blocks: list[FrameBlock]) -> np.ndarray:
    """For each session of the batch: were as many neurons updated in every frame and layer?

    Raises `CorruptModel` where no rounding can explain that they were not.
    """
    same = np.ones(len(blocks), bool)
    for i, layer in enumerate(spec.layers):
        gates = out.gates[i]
        expected = gates.sum(dim=-1).numpy() * (layer.hidden // gates.shape[-1])  # [B, T]
        for row, block in enumerate(blocks):
            seen, wanted = block.opened[:, i], expected[row, : len(block.opened)]
            if (seen == wanted).all():
                continue
            if not _rounding_decides(layer):
                raise CorruptModel(
                    f"layer {i} opened {seen.tolist()} neurons, expected {wanted.tolist()}"
                )
            same[row] = False
    return same
