"""Shapes and sanity of the kernel, feature and stream benchmarks, at tiny sizes. No times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from surnn.bench.features import FeatureBench, bench_features
from surnn.bench.kernel import KernelBench, bench_kernel
from surnn.bench.machine import describe
from surnn.bench.patterns import open_switches, tiles_to_compute, words
from surnn.bench.peers import onnx_gru, random_weights, silero_vad, torch_gru, webrtc_vad
from surnn.bench.stream import StreamBench, bench_stream, noise_bursts
from surnn.bench.timing import interleaved
from surnn.export import export
from surnn.kernels import reference
from surnn.nn import Network
from surnn.spec import (
    EventRule,
    Head,
    LayerSpec,
    LogMelFrontEnd,
    ModelKind,
    ModelSpec,
)

ROW = {
    "hidden",
    "features",
    "batch",
    "open_rate",
    "switch",
    "runtime",
    "kernel",
    "steps",
    "us_per_step",
    "ratio_to_onnx",
    "ratio_to_torch",
    "roofline_share",
    "max_error",
}


def test_kernel_rows() -> None:
    options = KernelBench(
        hidden=(16,),
        batch=(1, 2),
        open_rate=(0.17,),
        rounds=1,
        turn_s=0.0,
        drift_steps=200,
    )
    result = bench_kernel(options)
    rows = result["rows"]
    assert isinstance(rows, list)
    assert all(set(row) == ROW for row in rows)
    cases = {(r["batch"], r["switch"], r["runtime"]) for r in rows}
    assert cases == {
        (batch, switch, runtime)
        for batch in (1, 2)
        for switch in ("neuron", "group8", "group16")
        for runtime in ("native", "onnx", "torch")
    }
    assert all(r["max_error"] < 1e-6 for r in rows if r["runtime"] == "native")
    drift = result["drift"]
    assert isinstance(drift, list)
    assert [d["max_error"] < 1e-6 for d in drift] == [True] * 3
    assert set(result) == {"benchmark", "machine", "roof", "rows", "switches", "drift"}


@pytest.mark.parametrize("peer", [onnx_gru, torch_gru])
def test_peers_compute_the_same_layer(peer: object) -> None:
    weights = random_weights(5, 8)
    x = np.random.default_rng(0).standard_normal((2, 6, 5)).astype(np.float32)
    h = np.full((2, 8), 0.5, np.float32)
    assert callable(peer)
    seen = np.asarray(peer(weights, x, h)()[0]).reshape(6, 2, 8)
    for b in range(2):
        (exact,) = reference.layer(x[b], np.ones((6, 8), np.bool_), (h[b],), weights)
        np.testing.assert_allclose(seen[:, b], exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("group", [1, 8])
def test_patterns_have_the_wanted_rate(group: int) -> None:
    opened = open_switches(1000, 32, group, 0.17)
    np.testing.assert_allclose(opened.mean(axis=0), 0.17, atol=1e-9)
    assert (opened[:, :group] == opened[:, :1]).all()
    bits = words(opened)
    assert bits[3, 1] == sum(int(opened[3, 16 + i]) << i for i in range(16))


def test_tiles_to_compute() -> None:
    """Two blocks: an input tile each time, a state tile when that block was written since."""
    opened = np.repeat(np.array([[1, 0], [1, 0], [0, 1], [1, 1]], np.bool_), 8, axis=1)
    # frame 0: all 3; frame 1: x, own; frame 2: all 3; frame 3: block 0: x, own, other;
    # block 1: x, own
    assert tiles_to_compute(opened, 8, 1) == 3 + 2 + 3 + 3 + 2


def test_interleaved_takes_turns() -> None:
    calls: list[str] = []
    times = interleaved(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, turn_s=0.0
    )
    assert calls == ["a", "a", "b", "b", *"ababab"]
    assert set(times) == {"a", "b"}


def test_features_rows() -> None:
    result = bench_features(FeatureBench(sizes=((1, 2), (2, 3)), rounds=1, turn_s=0.0))
    rows = result["rows"]
    assert isinstance(rows, list)
    assert {r["runtime"] for r in rows} >= {"native", "numpy"}
    assert all(r["max_error"] < 1e-4 for r in rows)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bench") / "tiny"
    torch.manual_seed(0)
    spec = ModelSpec(
        name="tiny",
        kind=ModelKind.AUDIO,
        sample_rate=16_000,
        hop=160,
        frontend=LogMelFrontEnd(),
        layers=(LayerSpec(hidden=8),),
        labels=("speech",),
        head=Head.SIGMOID,
        events=(EventRule(label="speech"),),
    )
    export(Network(spec), directory)
    return directory


def test_stream_factors(model: Path) -> None:
    options = StreamBench(model=model, rounds=1, seconds=1.0, more_chunks_ms=(500,))
    result = bench_stream(options)
    factors = result["realtime_factor"]
    assert isinstance(factors, dict)
    assert {"native", "onnx"} <= set(factors)
    assert all(factor > 0 for factor in factors.values())
    rows = result["rows"]
    assert isinstance(rows, list)
    assert {(r["runtime"], r["chunk_ms"]) for r in rows} == {
        (runtime, size) for runtime in ("native", "onnx") for size in (100, 500)
    }


def test_noise_bursts_are_loud_and_quiet() -> None:
    samples = np.frombuffer(noise_bursts(20.0), "<i2").astype(float)
    levels = np.sqrt((samples.reshape(20, -1) ** 2).mean(axis=1))
    assert levels.min() < 50
    assert levels.max() > 2000


@pytest.mark.parametrize(("name", "peer"), [("silero_vad", silero_vad), ("webrtcvad", webrtc_vad)])
def test_other_detectors_run_if_installed(name: str, peer: object) -> None:
    assert callable(peer)
    detector = peer()
    if detector is None:
        pytest.skip(f"{name} is not installed")
    assert len(detector(noise_bursts(0.5))) > 10


def test_machine_names_what_it_can() -> None:
    machine = describe()
    assert {"cpu", "cores", "python", "versions", "load"} <= set(machine)
