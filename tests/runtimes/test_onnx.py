"""ONNX Runtime behind the runtime protocol: batches, padding, carry and refused files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from surnn.errors import CorruptModel, InvalidShape, StaleSlot
from surnn.export import build
from surnn.nn import Network
from surnn.runtimes.onnx import OnnxRuntime, pad_batch
from surnn.spec import Head, LayerSpec, LogMelFrontEnd, ModelKind, ModelSpec, SwitchSpec


@pytest.fixture(scope="module")
def runtime() -> OnnxRuntime:
    torch.manual_seed(0)
    layer = LayerSpec(hidden=32, switch=SwitchSpec(group=1))
    spec = ModelSpec(
        name="test",
        kind=ModelKind.AUDIO,
        sample_rate=16_000,
        hop=160,
        frontend=LogMelFrontEnd(),
        layers=(layer, layer),
        labels=("speech",),
        head=Head.SIGMOID,
    )
    network = Network(spec)
    weights = {k: v.detach().numpy() for k, v in network.state_dict().items()}
    return OnnxRuntime(build(spec, weights).SerializeToString())


def noise(frames: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((frames, 160)) * 0.1).astype(np.float32)


def test_a_batch_of_ragged_sessions_equals_each_alone(runtime: OnnxRuntime) -> None:
    counts = [1, 40, 7, 0, 23]
    chunks = [[noise(n, seed=10 * i + k) for k in range(3)] for i, n in enumerate(counts)]
    together = runtime.new_pool(8)
    slots = [together.acquire() for _ in counts]
    joint = [runtime.run(together, slots, [c[k] for c in chunks]) for k in range(3)]
    for i, session in enumerate(chunks):
        pool = runtime.new_pool(1)
        slot = pool.acquire()
        for k, chunk in enumerate(session):
            (block,) = runtime.run(pool, [slot], [chunk])
            np.testing.assert_allclose(joint[k][i].logits, block.logits, atol=1e-5)
            np.testing.assert_array_equal(joint[k][i].opened, block.opened)
        for name, value in pool.read(slot).items():
            np.testing.assert_allclose(together.read(slots[i])[name], value, atol=1e-5)


def test_rows_of_other_sessions_are_untouched(runtime: OnnxRuntime) -> None:
    pool = runtime.new_pool(4)
    first, second = pool.acquire(), pool.acquire()
    for array in pool.arrays.values():
        array[2:] = 77
    runtime.run(pool, [second], [noise(5, 0)])
    assert pool.arrays["t"][0] == 0
    assert pool.arrays["t"][1] == 5
    assert all((array[2:] == 77).all() for array in pool.arrays.values())
    assert pool.holds(first)


def test_long_carry_is_exact(runtime: OnnxRuntime) -> None:
    """One frame at a time, a neuron moves only in frames that count it as opened."""
    pool = runtime.new_pool(1)
    slot = pool.acquire()
    for i in range(300):
        before = pool.read(slot)
        (block,) = runtime.run(pool, [slot], [noise(1, i)])
        after = pool.read(slot)
        for layer in range(2):
            moved = int((before[f"h{layer}"] != after[f"h{layer}"]).sum())
            assert moved <= block.opened[0, layer]


def test_empty_batch(runtime: OnnxRuntime) -> None:
    assert runtime.run(runtime.new_pool(1), [], []) == []


def test_released_slot_is_refused(runtime: OnnxRuntime) -> None:
    pool = runtime.new_pool(1)
    slot = pool.acquire()
    pool.release(slot)
    with pytest.raises(StaleSlot):
        runtime.run(pool, [slot], [noise(1, 0)])


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 80), np.float32), np.zeros(160, np.float32), np.zeros((4, 160))]
)
def test_wrong_frames_are_refused(runtime: OnnxRuntime, bad: np.ndarray) -> None:
    pool = runtime.new_pool(1)
    slot = pool.acquire()
    with pytest.raises(InvalidShape, match=r"expected float32 \[T, 160\]"):
        runtime.run(pool, [slot], [bad])
    assert pool.read(slot)["t"] == 0


def test_padding_is_zero() -> None:
    batch, lengths = pad_batch([np.ones((2, 3), np.float32), np.ones((1, 3), np.float32)], 3)
    assert lengths.tolist() == [2, 1]
    assert batch[1, 1].tolist() == [0, 0, 0]


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "model.onnx"
    damaged.write_bytes(b"not a model")
    with pytest.raises(CorruptModel, match=r"model.onnx cannot be loaded"):
        OnnxRuntime(damaged)
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    foreign = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", [x], [y]),
        opset_imports=[onnx.helper.make_opsetid("", 18)],
        ir_version=9,
    )
    with pytest.raises(CorruptModel, match="expected a surnn export"):
        OnnxRuntime(foreign.SerializeToString())
    onnx.helper.set_model_props(foreign, {"surnn": "{}", "surnn.fingerprint": "0"})
    with pytest.raises(CorruptModel, match="unreadable spec"):
        OnnxRuntime(foreign.SerializeToString())
