"""Graphs of every cell, alone and in stacks: equal to the network, the same bits in any chunks."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from surnn.cells import CELLS, Cell
from surnn.errors import CorruptModel
from surnn.export import build, verify
from surnn.export.cells import CELL_GRAPHS
from surnn.nn import Network
from surnn.runtimes.onnx import OnnxRuntime
from surnn.spec import (
    BlockGate,
    BlockSpec,
    Head,
    LayerSpec,
    ModelSpec,
    Norm,
    SwitchMode,
    SwitchSpec,
)

Make = Callable[..., ModelSpec]
blocks = st.one_of(
    st.none(),
    st.builds(
        BlockSpec,
        norm=st.sampled_from(Norm),
        gate=st.sampled_from(BlockGate),
        residual=st.booleans(),
    ),
)


@st.composite
def layers(draw: st.DrawFn) -> LayerSpec:
    cell, group = draw(st.sampled_from(Cell)), 1
    switch = SwitchSpec(mode=SwitchMode.NONE)
    if CELLS[cell].switched:
        group = draw(st.sampled_from([1, 2, 3, 8]))
        mode = draw(st.sampled_from(SwitchMode))
        switch = SwitchSpec(mode=mode, group=group, open_rate=draw(st.sampled_from([0.1, 0.5])))
    hidden = group * draw(st.integers(1, 24 // group))
    return LayerSpec(cell=cell, hidden=hidden, switch=switch, block=draw(blocks))


def make_network(spec: ModelSpec, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return Network(spec).eval()


def content(network: Network) -> bytes:
    weights = {k: v.detach().numpy() for k, v in network.state_dict().items()}
    return build(network.spec, weights).SerializeToString()


def noise(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, 3)).astype(np.float32)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(layers(), min_size=1, max_size=3), st.sampled_from(Head), st.integers(0, 2**31))
def test_any_stack_equals_its_network(
    stack_spec: Make, stack: list[LayerSpec], head: Head, seed: int
) -> None:
    """Batches of 1, 3 and 5, ragged chunks, random states: see `verify`."""
    network = make_network(stack_spec(*stack, head=head), seed)
    parity = verify(network, content(network), seed=seed)
    assert parity.frames > 200
    assert parity.slipped <= 1


@pytest.mark.parametrize("cell", list(Cell))
def test_ten_thousand_frames_in_random_chunks(stack_spec: Make, cell: Cell) -> None:
    """Batches of 5 and of 1, from the same random states. Where a last bit of rounding moves an
    event or a write, numbers are compared up to there."""
    network = make_network(stack_spec(LayerSpec(cell=cell, hidden=16)))
    runtime = OnnxRuntime(content(network))
    steps, batch, rng = 10_000, 5, np.random.default_rng(1)
    frames = rng.standard_normal((batch, steps, 3)).astype(np.float32)
    pool = runtime.new_pool(batch + 1)
    slots = [pool.acquire() for _ in range(batch + 1)]
    for array in pool.arrays.values():
        values = rng.integers(-3, 4, array.shape) * 0.25
        array[:] = values if array.dtype == np.float32 else rng.integers(0, 2**60, array.shape)
        array[slots[-1].index] = array[slots[0].index]
    start = {k: torch.from_numpy(v) for k, v in pool.gather(slots[:-1]).items()}
    with torch.no_grad():
        expected = network(torch.from_numpy(frames), state=start)
    seen, at = [], 0
    while at < steps:
        size = int(rng.integers(1, 700))
        chunk = [row[at : at + size] for row in frames]
        together = runtime.run(pool, slots[:-1], chunk)
        (alone,) = runtime.run(pool, slots[-1:], chunk[:1])
        seen.append([*together, alone])
        at += size
    counts = expected.gates[0].sum(dim=-1).numpy() * (16 // expected.gates[0].shape[-1])
    whole = 0
    for row in range(batch + 1):
        like = row % batch
        opened = np.concatenate([blocks[row].opened[:, 0] for blocks in seen])
        logits = np.concatenate([blocks[row].logits for blocks in seen])
        wanted = expected.logits[like].numpy()
        slips = np.flatnonzero(opened != counts[like])
        end = slips[0] if len(slips) else steps
        scale = max(1.0, float(np.abs(wanted).max()))
        assert np.abs(logits[:end] - wanted[:end]).max(initial=0.0) <= 1e-5 * scale
        if not len(slips):
            whole += 1
            for name, value in pool.read(slots[row]).items():
                after = expected.state[name][like].numpy()
                assert np.abs(value - after).max() <= 1e-5 * max(1.0, float(np.abs(after).max()))
    by_clock = CELLS[cell].switched or CELLS[cell].update.value == "always"
    assert whole >= (6 if by_clock else 3)


@pytest.mark.parametrize("cell", list(Cell))
def test_any_chunks_give_the_same_bits(stack_spec: Make, cell: Cell) -> None:
    stack = [
        LayerSpec(cell=cell, hidden=19),
        LayerSpec(cell=cell, hidden=16, block=BlockSpec()),
        LayerSpec(cell=cell, hidden=16, block=BlockSpec(norm=Norm.RMS)),
    ]
    runtime = OnnxRuntime(content(make_network(stack_spec(*stack))))
    data, results = noise(200), []
    for cuts in ([], list(range(1, 200)), [7, 8, 71, 135]):
        pool = runtime.new_pool(1)
        slot = pool.acquire()
        parts = [runtime.run(pool, [slot], [part])[0] for part in np.split(data, cuts)]
        logits, opened = (
            np.concatenate([getattr(p, name) for p in parts]) for name in ("logits", "opened")
        )
        results.append([logits, opened, *pool.read(slot).values()])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("cell", [cell for cell, traits in CELLS.items() if traits.carries])
def test_neurons_that_were_not_updated_keep_their_bits(stack_spec: Make, cell: Cell) -> None:
    spec = stack_spec(LayerSpec(cell=cell, hidden=24))
    runtime = OnnxRuntime(content(make_network(spec)))
    pool = runtime.new_pool(1)
    slot = pool.acquire()
    for i in range(200):
        before = pool.read(slot)
        (block,) = runtime.run(pool, [slot], [noise(1, i)])
        after = pool.read(slot)
        for state in spec.layer_states(0):
            moved = (before[state.name] != after[state.name]).reshape(-1, 24).any(axis=0)
            assert moved.sum() <= block.opened[0, 0] <= 24


@pytest.mark.parametrize("cell", list(Cell))
def test_a_changed_weight_is_noticed(stack_spec: Make, cell: Cell) -> None:
    network = make_network(stack_spec(LayerSpec(cell=cell, hidden=16), LayerSpec(hidden=8)))
    graph = content(network)
    with torch.no_grad():
        weight = next(p for n, p in network.stack[0].cell.named_parameters() if p.ndim > 1)
        weight += 0.1
    with pytest.raises(CorruptModel, match=r"graph differs|writes or switches differ"):
        verify(network, graph)


def test_a_count_saturates_in_the_graph_too(stack_spec: Make) -> None:
    network = make_network(stack_spec(LayerSpec(cell=Cell.CMRU, hidden=4)))
    runtime = OnnxRuntime(content(network))
    pool = runtime.new_pool(1)
    slot = pool.acquire()
    pool.arrays["s0"][slot.index] = 2.0**24 - 1
    start = {k: torch.from_numpy(v) for k, v in pool.gather([slot]).items()}
    frames = noise(500) * 3
    runtime.run(pool, [slot], [frames])
    with torch.no_grad():
        expected = network(torch.from_numpy(frames)[None], state=start).state["s0"]
    np.testing.assert_array_equal(pool.read(slot)["s0"], expected[0].numpy())
    assert pool.read(slot)["s0"].max() <= 2.0**24


def test_every_cell_has_a_graph() -> None:
    assert set(CELL_GRAPHS) == set(Cell)


@pytest.mark.parametrize(
    "block",
    [
        BlockSpec(norm=n, gate=g, residual=r)
        for n, g, r in itertools.product(Norm, BlockGate, (0, 1))
    ],
    ids=str,
)
def test_every_block_equals_its_module(stack_spec: Make, block: BlockSpec) -> None:
    """With norms and biases away from where they start."""
    layer = LayerSpec(cell=Cell.GRU, hidden=9, block=block)
    network = make_network(stack_spec(layer, layer, head=Head.LINEAR))
    for name, p in network.named_parameters():
        if ".block." in name:
            torch.nn.init.normal_(p, 0.5, 0.5)
    assert verify(network, content(network)).frames > 200
