"""The native runtime: ONNX Runtime's numbers, and the same bits in any batch and chunking."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import surnn
from surnn.checkpoint import load as load_network
from surnn.errors import (
    CorruptModel,
    InvalidConfig,
    InvalidShape,
    MissingDependency,
    StaleSlot,
    UnknownModel,
)
from surnn.export import build, export
from surnn.nn import Network
from surnn.runtimes.joined import JoinedFrames
from surnn.runtimes.native import NativeRuntime
from surnn.runtimes.native_layer import choose_kernel
from surnn.runtimes.onnx import OnnxRuntime
from surnn.spec import (
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

Weights = dict[str, np.ndarray]


def make_spec(
    mode: SwitchMode = SwitchMode.CLOCK,
    group: int = 1,
    hidden: int = 32,
    audio: bool = True,
    encoder: EncoderSpec | None = None,
) -> ModelSpec:
    front: FrontEnd = LogMelFrontEnd()
    if not audio:
        front = ScaleFrontEnd(mean=(0.0, 1.0, 2.0), scale=(1.0, 0.5, 2.0))
    return ModelSpec(
        name="test",
        kind=ModelKind.AUDIO if audio else ModelKind.SENSOR,
        sample_rate=16_000 if audio else 50,
        hop=160 if audio else 1,
        channels=1 if audio else 3,
        frontend=front,
        encoder=encoder,
        layers=(
            LayerSpec(hidden=hidden, switch=SwitchSpec(mode=mode, group=group, open_rate=0.3)),
            LayerSpec(hidden=24, switch=SwitchSpec(mode=mode, open_rate=0.3)),
        ),
        labels=("a", "b"),
        head=Head.SIGMOID,
    )


def random_weights(spec: ModelSpec, seed: int = 0) -> Weights:
    torch.manual_seed(seed)
    return {k: v.detach().numpy() for k, v in Network(spec).state_dict().items()}


def frames(spec: ModelSpec, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    level = 0.1 if spec.kind is ModelKind.AUDIO else 1.0
    return (rng.standard_normal((count, spec.frame_size)) * level).astype(np.float32)


@pytest.fixture(scope="module")
def native() -> NativeRuntime:
    spec = make_spec(group=8, encoder=EncoderSpec(frames=3, width=40))
    return NativeRuntime(spec, random_weights(spec))


@pytest.mark.parametrize("mode", list(SwitchMode))
@pytest.mark.parametrize(
    ("group", "hidden", "audio", "encoder"),
    [
        (1, 50, True, None),
        (8, 40, False, EncoderSpec(frames=2, width=7)),
        (16, 64, True, EncoderSpec(frames=5, width=64)),
        (5, 20, False, None),
    ],
)
def test_equals_onnx(
    mode: SwitchMode, group: int, hidden: int, audio: bool, encoder: EncoderSpec | None
) -> None:
    """Ragged chunks from random states at frame numbers up to 2^61."""
    spec = make_spec(mode, group, hidden, audio, encoder)
    weights = random_weights(spec)
    runtimes = [OnnxRuntime(build(spec, weights).SerializeToString()), NativeRuntime(spec, weights)]
    assert runtimes[0].fingerprint == runtimes[1].fingerprint
    rng = np.random.default_rng(3)
    pools = [runtime.new_pool(4) for runtime in runtimes]
    slots = [[pool.acquire() for _ in range(3)] for pool in pools]
    for name, array in pools[0].arrays.items():
        top = 2**61 if name == "t" else 1
        array[:] = (rng.random(array.shape) * top).astype(array.dtype)
        pools[1].arrays[name][:] = array
    for step, counts in enumerate([(3, 10, 1), (0, 1, 2), (60, 7, 33), (0, 0, 0)]):
        chunk = [frames(spec, n, 10 * step + i) for i, n in enumerate(counts)]
        expected, seen = (
            runtime.run(pool, held, chunk)
            for runtime, pool, held in zip(runtimes, pools, slots, strict=True)
        )
        for one, other in zip(expected, seen, strict=True):
            np.testing.assert_allclose(other.logits, one.logits, rtol=0, atol=1e-5)
            np.testing.assert_array_equal(other.opened, one.opened)
    for name, array in pools[0].arrays.items():
        np.testing.assert_allclose(pools[1].arrays[name], array, rtol=0, atol=1e-5)


def feed(runtime: NativeRuntime, data: np.ndarray, cuts: list[int]) -> tuple[np.ndarray, Any]:
    pool = runtime.new_pool(1)
    slot = pool.acquire()
    parts = [runtime.run(pool, [slot], [part])[0].logits for part in np.split(data, cuts)]
    return np.concatenate(parts), pool.read(slot)


def test_chunking_gives_the_same_bits(native: NativeRuntime) -> None:
    data = frames(native.spec, 200, 0)
    whole, state = feed(native, data, [])
    for cuts in ([1, 2, 3, 100], list(range(0, 200, 7)), [50, 50, 199]):
        logits, after = feed(native, data, cuts)
        np.testing.assert_array_equal(logits, whole)
        for name, value in state.items():
            np.testing.assert_array_equal(after[name], value)


def test_company_gives_the_same_bits(native: NativeRuntime) -> None:
    """Enough sessions for the kernel that shares weights between them."""
    counts = [10, 3, 10, 0, 1, 10, 10, 7, 10, 10, 2, 10] * 2
    chunks = [frames(native.spec, n, i) for i, n in enumerate(counts)]
    pool = native.new_pool(28)
    slots = [pool.acquire() for _ in counts]
    for array in pool.arrays.values():
        array[24:] = 77
    pool.arrays["t"][:24] = np.arange(24) * 1000
    blocks = native.run(pool, slots, chunks)
    for i, (chunk, block, slot) in enumerate(zip(chunks, blocks, slots, strict=True)):
        alone = native.new_pool(1)
        only = alone.acquire()
        alone.arrays["t"][0] = i * 1000
        (expected,) = native.run(alone, [only], [chunk])
        np.testing.assert_array_equal(block.logits, expected.logits)
        np.testing.assert_array_equal(block.opened, expected.opened)
        for name, value in alone.read(only).items():
            np.testing.assert_array_equal(pool.read(slot)[name], value)
    assert all((array[24:] == 77).all() for array in pool.arrays.values())


def test_more_frames_than_one_pass_carries(
    native: NativeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = [frames(native.spec, n, n) for n in (5, 9, 2, 8)]
    results = []
    for limit in (4096, 10):
        monkeypatch.setattr("surnn.runtimes.native._FRAMES", limit)
        pool = native.new_pool(4)
        results.append(native.run(pool, [pool.acquire() for _ in chunks], chunks))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one.logits, other.logits)


def test_closed_neurons_keep_their_bits(native: NativeRuntime) -> None:
    pool = native.new_pool(1)
    slot = pool.acquire()
    pool.arrays["h0"][0] = np.linspace(-0.9, 0.9, 32)
    for i in range(200):
        before = pool.read(slot)
        (block,) = native.run(pool, [slot], [frames(native.spec, 1, i)])
        after = pool.read(slot)
        for layer in range(2):
            moved = int((before[f"h{layer}"] != after[f"h{layer}"]).sum())
            assert moved <= block.opened[0, layer]


def test_empty_batch_and_empty_chunks(native: NativeRuntime) -> None:
    pool = native.new_pool(1)
    assert native.run(pool, [], []) == []
    (block,) = native.run(pool, [pool.acquire()], [np.zeros((0, 160), np.float32)])
    assert block.logits.shape == (0, 2)
    assert block.opened.shape == (0, 2)


def test_joined_frames_are_the_same_frames(native: NativeRuntime) -> None:
    lengths = [3, 0, 5]
    found = []
    for join in (False, True):
        pool = native.new_pool(len(lengths))
        slots = [pool.acquire() for _ in lengths]
        whole = frames(native.spec, sum(lengths), 4)
        joined = JoinedFrames(whole, [0, *accumulate(lengths)])
        found.append(native.run(pool, slots, joined if join else list(joined)))
    for separate, together in zip(*found, strict=True):
        np.testing.assert_array_equal(separate.logits, together.logits)
        np.testing.assert_array_equal(separate.opened, together.opened)
    with pytest.raises(InvalidShape, match="2 arrays of frames, expected one for each of 3 slots"):
        native.run(pool, slots, JoinedFrames(whole, [0, 4, 8]))


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 80), np.float32), np.zeros(160, np.float32), np.zeros((4, 160))]
)
def test_wrong_frames_are_refused(native: NativeRuntime, bad: np.ndarray) -> None:
    pool = native.new_pool(2)
    slots = [pool.acquire(), pool.acquire()]
    with pytest.raises(InvalidShape, match=r"expected float32 \[T, 160\]"):
        native.run(pool, slots, [frames(native.spec, 1, 0), bad])
    with pytest.raises(InvalidShape, match=r"1 arrays of frames, expected one for each of 2"):
        native.run(pool, slots, [frames(native.spec, 1, 0)])
    assert pool.arrays["t"].tolist() == [0, 0]


def test_released_slot_is_refused(native: NativeRuntime) -> None:
    pool = native.new_pool(1)
    slot = pool.acquire()
    pool.release(slot)
    with pytest.raises(StaleSlot):
        native.run(pool, [slot], [frames(native.spec, 1, 0)])


@pytest.mark.parametrize(
    ("mode", "group", "rate", "kernel"),
    [
        (SwitchMode.CLOCK, 16, 0.2, "block16"),
        (SwitchMode.CLOCK, 24, 0.2, "block8"),
        (SwitchMode.CLOCK, 1, 0.2, "row"),
        (SwitchMode.CLOCK, 3, 0.2, "row"),
        (SwitchMode.INPUT, 1, 0.9, "block16"),
        (SwitchMode.NONE, 1, 1.0, "block16"),
    ],
)
def test_kernel_suits_the_switches(mode: SwitchMode, group: int, rate: float, kernel: str) -> None:
    layer = LayerSpec(hidden=48, switch=SwitchSpec(mode=mode, group=group))
    assert choose_kernel(layer, rate) == kernel


def test_open_rate_of_a_clock_is_read_from_its_weights() -> None:
    spec = make_spec()
    weights = random_weights(spec)
    weights["layers.0.switch.bias"] = np.full(32, 5.0, np.float32)
    assert NativeRuntime(spec, weights).kernels == ("block16", "row")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "tiny"
    torch.manual_seed(0)
    export(Network(make_spec()), directory)
    return directory


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def hide(package: str) -> None:
        monkeypatch.setattr("surnn.model._can_run_on_cuda", lambda directory: False)
        monkeypatch.setattr("surnn.model.find_spec", lambda name: name != package or None)
        monkeypatch.setitem(sys.modules, package, None)
        for name in list(sys.modules):
            if name.startswith(("surnn.runtimes.native", "surnn.kernels", "surnn.features")):
                monkeypatch.delitem(sys.modules, name)

    return hide


@pytest.mark.parametrize(("runtime", "name"), [("auto", "native"), ("onnx", "onnx")])
def test_load_chooses_the_runtime(
    folder: Path, runtime: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surnn.model._can_run_on_cuda", lambda directory: False)
    assert surnn.load(folder, runtime=runtime).runtime.name == name


def test_auto_takes_a_gpu_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from surnn.runtimes.cuda import CudaRuntime, DevicePath

    network = load_network(folder)
    runtime = CudaRuntime(network, "cpu", path=DevicePath.TORCH)
    monkeypatch.setattr("surnn.model._can_run_on_cuda", lambda directory: True)
    monkeypatch.setattr(CudaRuntime, "open", lambda directory: runtime)
    model = surnn.load(folder)
    assert model.runtime is runtime
    spare = model.on_host()
    assert spare.runtime.name == "native"
    assert spare.runtime.fingerprint == runtime.fingerprint, "its tokens stay valid"


def test_load_without_numba(folder: Path, without: Callable[[str], None]) -> None:
    without("numba")
    assert surnn.load(folder).runtime.name == "onnx"
    with pytest.raises(MissingDependency, match=r"needs numba.*surnn\[native\]"):
        surnn.load(folder, runtime="native")


def test_load_refuses_unknown_runtimes_and_missing_weights(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InvalidConfig, match=r"'fast', expected one of \['auto', 'cuda', 'host', 'native', 'onnx'"
    ):
        surnn.load(folder, runtime="fast")
    (tmp_path / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    assert surnn.load(tmp_path).runtime.name == "onnx"
    with pytest.raises(UnknownModel, match=r"holds no spec\.json"):
        surnn.load(tmp_path, runtime="native")


def test_damaged_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_bytes((folder / "spec.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(CorruptModel, match="cannot be read"):
        NativeRuntime.open(tmp_path)
    weights = random_weights(make_spec())
    weights["head.bias"] = weights["head.bias"][:1]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(CorruptModel, match=r"\['head.bias'\] are \[\(1,\)\], expected \[\(2,\)\]"):
        NativeRuntime.open(tmp_path)
