"""The GPU runtime: ONNX Runtime's numbers, the same bits in any batch, and a device that fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

import surnn
from surnn.engine import Engine, StreamConfig
from surnn.errors import DeviceLost, DeviceMemory, InvalidConfig, InvalidShape, StaleSlot
from surnn.export import build
from surnn.nn import Network
from surnn.runtimes.onnx import OnnxRuntime
from surnn.spec import (
    Cell,
    EncoderSpec,
    FrontEnd,
    Head,
    LayerSpec,
    LogMelFrontEnd,
    ModelKind,
    ModelSpec,
    ScaleFrontEnd,
    SwitchMode,
    SwitchSpec,
)
from surnn.state import StatePool

pytest.importorskip("triton", reason="Triton is not installed: it has wheels for Linux only")
from surnn.kernels.device.resident import Resident
from surnn.runtimes import cuda
from surnn.runtimes.cuda import CudaRuntime, DevicePath


def make_spec(
    mode: SwitchMode = SwitchMode.CLOCK,
    group: int = 1,
    hidden: int = 12,
    audio: bool = False,
    encoder: EncoderSpec | None = None,
    cell: Cell = Cell.SUGRU,
) -> ModelSpec:
    front: FrontEnd = ScaleFrontEnd(mean=(0.0, 1.0, 2.0), scale=(1.0, 0.5, 2.0))
    if audio:  # small: every number of a transform costs time in the interpreter
        front = LogMelFrontEnd(window=40, n_fft=64, bands=6, f_min=100.0, f_max=3500.0)
    switch = SwitchSpec(mode=mode, group=group, open_rate=0.3, frequencies=4)
    return ModelSpec(
        name="test",
        kind=ModelKind.AUDIO if audio else ModelKind.SENSOR,
        sample_rate=8_000 if audio else 50,
        hop=16 if audio else 1,
        channels=1 if audio else 3,
        frontend=front,
        encoder=encoder,
        layers=(
            LayerSpec(hidden=hidden, switch=switch, cell=cell),
            LayerSpec(hidden=36, switch=SwitchSpec(mode=mode, open_rate=0.3), cell=cell),
        ),
        labels=("a", "b"),
        head=Head.SIGMOID,
    )


@pytest.fixture(autouse=True)
def small_chip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers above 16 neurons are tiled: the interpreter is too slow for real sizes."""
    monkeypatch.setattr(Resident, "MOST", {torch.float32: 16})


def make_network(spec: ModelSpec) -> Network:
    torch.manual_seed(0)
    return Network(spec).eval().requires_grad_(requires_grad=False)


def chunks(spec: ModelSpec, counts: Sequence[int], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    level = 0.1 if spec.kind is ModelKind.AUDIO else 1.0
    return [(rng.standard_normal((n, spec.frame_size)) * level).astype(np.float32) for n in counts]


@pytest.fixture
def kernels(device: str) -> CudaRuntime:
    return CudaRuntime(make_network(make_spec(SwitchMode.CLOCK_INPUT)), device, graphs=False)


def compare_with_onnx(runtime: CudaRuntime, network: Network, tolerance: float = 1e-5) -> None:
    """Ragged chunks from random states at frame numbers up to 10^10."""
    spec = network.spec
    weights = {k: v.cpu().numpy() for k, v in network.state_dict().items()}
    onnx = OnnxRuntime(build(spec, weights).SerializeToString())
    assert runtime.fingerprint == onnx.fingerprint
    pools = [onnx.new_pool(4), runtime.new_pool(4)]
    slots = [[pool.acquire() for _ in range(3)] for pool in pools]
    rng = np.random.default_rng(1)
    for one, other in zip(*slots, strict=True):
        state = pools[0].read(one)
        for name, array in state.items():
            top = 10**10 if name == "t" else 1
            state[name] = (rng.random(array.shape) * top).astype(array.dtype)
        pools[0].write(one, state)
        pools[1].write(other, state)
    for step, counts in enumerate([(2, 4, 1), (0, 1, 3), (0, 0, 0)]):
        data = chunks(spec, counts, step)
        expected, seen = onnx.run(pools[0], slots[0], data), runtime.run(pools[1], slots[1], data)
        for one, other in zip(expected, seen, strict=True):
            np.testing.assert_allclose(other.logits, one.logits, rtol=0, atol=tolerance)
            np.testing.assert_array_equal(other.opened, one.opened)
    states = pools[0].gather(slots[0])
    for name, array in pools[1].gather(slots[1]).items():
        np.testing.assert_allclose(array, states[name], rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("mode", list(SwitchMode))
def test_kernels_equal_onnx(device: str, mode: SwitchMode) -> None:
    network = make_network(make_spec(mode, group=4))
    runtime = CudaRuntime(network, device, graphs=False)
    assert runtime.stack.kernels == ("resident", "tiled")
    compare_with_onnx(runtime, network)


def test_features_and_encoder_equal_onnx(device: str) -> None:
    """Log-mel in float32: 1e-4, as between the other runtimes."""
    network = make_network(make_spec(audio=True, encoder=EncoderSpec(frames=3, width=9)))
    compare_with_onnx(CudaRuntime(network, device, graphs=False), network, 1e-4)


@pytest.mark.parametrize("cell", [Cell.SUGRU, Cell.SURNN, Cell.SULSTM])
def test_torch_path_equals_onnx_for_every_cell(device: str, cell: Cell) -> None:
    network = make_network(make_spec(cell=cell, audio=True))
    compare_with_onnx(CudaRuntime(network, device, path=DevicePath.TORCH), network, 1e-4)


def test_cudnn_path_equals_onnx(device: str) -> None:
    network = make_network(make_spec())
    compare_with_onnx(CudaRuntime(network, device, path=DevicePath.CUDNN), network)


@pytest.mark.gpu
def test_cudnn_carries_exactly(device: str) -> None:
    """h' = (1 - z) n + z h with z = 1: torch's CPU form is another, and is not exact."""
    if device == "cpu":
        pytest.skip("cuDNN needs a GPU")
    runtime = CudaRuntime(make_network(make_spec()), device, path=DevicePath.CUDNN)
    assert moved_while_closed(runtime) == 0


def test_kernels_carry_exactly(kernels: CudaRuntime) -> None:
    assert moved_while_closed(kernels) == 0


def moved_while_closed(runtime: CudaRuntime) -> int:
    """Neurons that moved, less those that were open, over five frames."""
    pool = runtime.new_pool(1)
    slot = pool.acquire()
    excess = 0
    for i in range(5):
        before = pool.read(slot)
        (block,) = runtime.run(pool, [slot], chunks(runtime.spec, [1], i))
        after = pool.read(slot)
        for layer in range(2):
            moved = int((before[f"h{layer}"] != after[f"h{layer}"]).sum())
            excess += max(0, moved - int(block.opened[0, layer]))
    return excess


def test_paths_are_chosen_by_cells(device: str) -> None:
    assert CudaRuntime(make_network(make_spec()), device).path is DevicePath.KERNELS
    other = make_network(make_spec(cell=Cell.SURNN))
    assert CudaRuntime(other, device).path is DevicePath.TORCH
    with pytest.raises(InvalidConfig, match="takes suGRU layers only"):
        CudaRuntime(other, device, path=DevicePath.CUDNN)
    with pytest.raises(InvalidConfig, match="half is for kernels"):
        CudaRuntime(other, device, half=True)


def test_company_and_chunking_give_the_same_bits(kernels: CudaRuntime) -> None:
    counts = [3, 1, 0, 4]
    data = chunks(kernels.spec, counts)
    pool = kernels.new_pool(5)
    slots = [pool.acquire() for _ in range(5)]
    pool.tensors["h1"][slots[4].index] = 77
    blocks = kernels.run(pool, slots[:4], data)
    for block, part, slot in zip(blocks, data, slots, strict=False):
        alone = kernels.new_pool(1)
        only = alone.acquire()
        pieces = [kernels.run(alone, [only], [part[i : i + 1]])[0] for i in range(len(part))]
        logits = [p.logits for p in pieces] or [np.zeros((0, 2), np.float32)]
        np.testing.assert_array_equal(block.logits, np.concatenate(logits))
        for name, value in alone.read(only).items():
            np.testing.assert_array_equal(pool.read(slot)[name], value)
    assert (pool.read(slots[4])["h1"] == 77).all()


def test_graphs_change_nothing(kernels: CudaRuntime, device: str) -> None:
    """Padded to a power of two, recorded, and replayed with other sessions."""
    recorded = CudaRuntime(make_network(kernels.spec), device)
    pools = [kernels.new_pool(4), recorded.new_pool(4)]
    slots = [[pool.acquire() for _ in range(4)] for pool in pools]
    for step, sessions in enumerate([[0, 1, 2], [3, 1, 0], [2, 3]]):
        data = chunks(kernels.spec, [2, 1, 2][: len(sessions)], step)
        plain, replayed = (
            runtime.run(pool, [held[i] for i in sessions], data)
            for runtime, pool, held in zip((kernels, recorded), pools, slots, strict=True)
        )
        for one, other in zip(plain, replayed, strict=True):
            np.testing.assert_array_equal(one.logits, other.logits)
            np.testing.assert_array_equal(one.opened, other.opened)
    for name, value in pools[0].gather(slots[0]).items():
        np.testing.assert_array_equal(pools[1].gather(slots[1])[name], value)
    assert len(recorded._recordings[pools[1]]) == 2  # 4 and 2 sessions


def test_parts_change_nothing(kernels: CudaRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for limit in (16_384, 4):
        monkeypatch.setattr(cuda, "_FRAMES", limit)
        pool = kernels.new_pool(5)
        slots = [pool.acquire() for _ in range(5)]
        results.append(kernels.run(pool, slots, chunks(kernels.spec, [2, 1, 2, 2, 0])))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one.logits, other.logits)


def test_sessions_in_step_share_their_clock(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frame numbers are compared on the host: after a restore and after a gap as well."""
    runtime = CudaRuntime(make_network(make_spec(hidden=20)), device, graphs=False)
    flags: list[bool] = []
    stack = runtime.stack

    def watch(*args, in_step, **rest):
        flags.append(in_step)
        return stack(*args, in_step=in_step, **rest)

    monkeypatch.setattr(runtime, "stack", watch)
    monkeypatch.setattr(watch, "recordable", False, raising=False)
    pool = runtime.new_pool(2)
    slots = [pool.acquire(), pool.acquire()]
    together = runtime.run(pool, slots, chunks(runtime.spec, [2, 2]))
    runtime.run(pool, slots, chunks(runtime.spec, [2, 1]))
    runtime.run(pool, slots, chunks(runtime.spec, [2, 2]))
    state = pool.read(slots[1])
    pool.write(slots[0], state)
    runtime.run(pool, slots, chunks(runtime.spec, [2, 2]))
    assert flags == [True, False, False, True]
    fresh = runtime.new_pool(1)
    (alone,) = runtime.run(fresh, [fresh.acquire()], chunks(runtime.spec, [2, 2])[:1])
    np.testing.assert_allclose(alone.logits, together[0].logits, rtol=0, atol=1e-6)


def test_written_bytes_are_the_open_rate(kernels: CudaRuntime) -> None:
    kernels.stack.written = torch.zeros(1, dtype=torch.int64, device=kernels.device)
    pool = kernels.new_pool(3)
    blocks = kernels.run(pool, [pool.acquire() for _ in range(3)], chunks(kernels.spec, [3, 0, 2]))
    assert int(kernels.stack.written) == sum(block.opened.sum() for block in blocks) > 0


def test_an_engine_runs_on_it(kernels: CudaRuntime) -> None:
    """Saved, restored and skipped sessions, as on any runtime."""
    data = chunks(kernels.spec, [8])[0]
    engine = Engine(kernels, capacity=3)

    def compute(session: surnn.engine.Session, part: np.ndarray) -> np.ndarray:
        session.push(part)
        (result,) = engine.step([session])
        assert result is not None
        return result.probs

    config = StreamConfig(start_frame=10**10)
    whole = compute(engine.open(config), data)
    first = engine.open(config)
    np.testing.assert_array_equal(compute(first, data[:5]), whole[:5])
    saved = engine.save(first)
    engine.close(first)
    second = engine.restore(saved)
    np.testing.assert_array_equal(compute(second, data[5:]), whole[5:])
    assert engine.pool.read(second.slot)["t"] == 10**10 + 8
    engine.skip(second, 4)
    assert engine.pool.times[second.slot.index] == 10**10 + 12


def test_bad_input_changes_nothing(kernels: CudaRuntime) -> None:
    pool = kernels.new_pool(2)
    slots = [pool.acquire(), pool.acquire()]
    good = chunks(kernels.spec, [1])[0]
    with pytest.raises(InvalidShape, match=r"expected float32 \[T, 3\]"):
        kernels.run(pool, slots, [good, np.zeros((1, 4), np.float32)])
    with pytest.raises(InvalidShape, match="1 arrays of frames, expected one for each of 2"):
        kernels.run(pool, slots, [good])
    with pytest.raises(InvalidShape, match="pool is a StatePool"):
        kernels.run(StatePool(kernels.spec.states, 1), [], [])
    pool.release(slots[1])
    with pytest.raises(StaleSlot):
        kernels.run(pool, slots, [good, good])
    assert int(pool.read(slots[0])["t"]) == 0
    assert kernels.run(pool, [], []) == []
    (block,) = kernels.run(pool, slots[:1], chunks(kernels.spec, [0]))
    assert (block.logits.shape, block.opened.shape) == ((0, 2), (0, 2))


class Failing:
    """A stack that fails as torch does: for more sessions than fit, or for good."""

    recordable = False

    def __init__(self, runtime: CudaRuntime, raising: Callable[[int], Exception | None]) -> None:
        self._stack, self._raising = runtime.stack, raising
        self.sizes: list[int] = []

    def __call__(self, states, frames, rows, lengths, *, in_step):
        self.sizes.append(len(rows))
        if (error := self._raising(len(rows))) is not None:
            raise error
        return self._stack(states, frames, rows, lengths, in_step=in_step)


@pytest.fixture
def torch_path(device: str) -> CudaRuntime:
    return CudaRuntime(make_network(make_spec()), device, path=DevicePath.TORCH)


def test_too_little_memory_means_smaller_parts(torch_path: CudaRuntime) -> None:
    data = chunks(torch_path.spec, [1] * 7)
    pool = torch_path.new_pool(7)
    expected = torch_path.run(pool, [pool.acquire() for _ in data], data)
    failing = Failing(
        torch_path, lambda n: torch.OutOfMemoryError("CUDA out of memory.") if n > 2 else None
    )
    torch_path.stack = failing
    pool = torch_path.new_pool(7)
    blocks = torch_path.run(pool, [pool.acquire() for _ in data], data)
    assert failing.sizes == [7, 4, 2, 2, 3, 2, 1]
    for one, other in zip(expected, blocks, strict=True):
        np.testing.assert_allclose(other.logits, one.logits, atol=1e-6)


def test_no_memory_at_all_leaves_sessions_whole(torch_path: CudaRuntime) -> None:
    pool = torch_path.new_pool(3)
    slots = [pool.acquire() for _ in range(3)]
    before = pool.gather(slots)
    stack = torch_path.stack
    torch_path.stack = Failing(torch_path, lambda n: torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(DeviceMemory, match=r"too little memory: CUDA out of memory\."):
        torch_path.run(pool, slots, chunks(torch_path.spec, [1, 2, 3]))
    for name, value in pool.gather(slots).items():
        np.testing.assert_array_equal(value, before[name])
    torch_path.stack = stack
    assert len(torch_path.run(pool, slots, chunks(torch_path.spec, [1, 2, 3]))) == 3


def test_memory_that_ends_halfway_costs_the_states(torch_path: CudaRuntime) -> None:
    """Some sessions moved on: none may be computed again as if none had."""
    error = torch.OutOfMemoryError("CUDA out of memory.")
    failing = Failing(torch_path, lambda n: None if len(failing.sizes) == 2 else error)
    torch_path.stack = failing
    pool = torch_path.new_pool(2)
    with pytest.raises(DeviceLost, match="out of step"):
        torch_path.run(pool, [pool.acquire(), pool.acquire()], chunks(torch_path.spec, [1, 1]))


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nmore"),
        RuntimeError("Triton Error [CUDA]: unspecified launch failure"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ],
)
def test_a_lost_device_stays_lost(torch_path: CudaRuntime, error: Exception) -> None:
    torch_path.stack = Failing(torch_path, lambda n: error)
    pool = torch_path.new_pool(1)
    slots = [pool.acquire()]
    with pytest.raises(DeviceLost, match=r"device was lost: .*(encountered|failure|FAILED)$"):
        torch_path.run(pool, slots, chunks(torch_path.spec, [1]))
    with pytest.raises(DeviceLost, match="lost earlier"):
        torch_path.run(pool, slots, chunks(torch_path.spec, [1]))


def test_other_errors_pass(torch_path: CudaRuntime) -> None:
    torch_path.stack = Failing(torch_path, lambda n: RuntimeError("a bug"))
    pool = torch_path.new_pool(1)
    with pytest.raises(RuntimeError, match="a bug"):
        torch_path.run(pool, [pool.acquire()], chunks(torch_path.spec, [1]))
    assert not torch_path.lost


def test_no_gpu_is_said(device: str) -> None:
    if device == "cuda":
        pytest.skip("there is a GPU")
    with pytest.raises(InvalidConfig, match="torch finds no CUDA device"):
        CudaRuntime(make_network(make_spec()))
    with pytest.raises(InvalidConfig, match="torch finds no CUDA device"):
        surnn.load("vad", runtime="cuda")


@pytest.mark.gpu
def test_auto_takes_the_gpu(device: str) -> None:
    if device == "cpu":
        pytest.skip("needs a GPU")
    assert surnn.load("vad").runtime.name == "cuda"
