"""Stacks of different cells are models like any other: loaded, streamed, saved, served, shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import surnn
from surnn.cells import Cell
from surnn.encodings import Encoding
from surnn.engine import Engine, StreamConfig
from surnn.errors import InvalidConfig
from surnn.export import export
from surnn.nn import Network
from surnn.runtimes.onnx import OnnxRuntime
from surnn.snapshot import pack, unpack
from surnn.spec import BlockSpec, Head, LayerSpec, ModelSpec, Norm, SwitchMode, SwitchSpec
from surnn.types import Float32
from surnn_cli import app as cli
from surnn_client import Chunk, connect

HYBRIDS = {
    "sugru-lru": (
        LayerSpec(hidden=24, switch=SwitchSpec(mode=SwitchMode.CLOCK_INPUT)),
        LayerSpec(cell=Cell.LRU, hidden=16, block=BlockSpec()),
    ),
    "bmru-lru": (
        LayerSpec(cell=Cell.BMRU, hidden=24, block=BlockSpec(norm=Norm.RMS)),
        LayerSpec(cell=Cell.LRU, hidden=24, block=BlockSpec()),
    ),
    "everything": tuple(
        LayerSpec(cell=cell, hidden=8, block=BlockSpec() if i % 2 else None)
        for i, cell in enumerate(Cell)
    ),
}


@pytest.fixture(scope="module")
def folders(
    tmp_path_factory: pytest.TempPathFactory, stack_spec: Callable[..., ModelSpec]
) -> dict[str, Path]:
    """Exported, untrained models."""
    root = tmp_path_factory.mktemp("hybrids")
    for name, layers in HYBRIDS.items():
        torch.manual_seed(1)
        spec = stack_spec(*layers).model_copy(update={"name": name})
        export(Network(spec).eval(), root / name)
    return {name: root / name for name in HYBRIDS}


@pytest.fixture(scope="module")
def samples() -> Float32:
    return np.random.default_rng(0).standard_normal((700, 3)).astype(np.float32)


def streamed(model: surnn.Model, pieces: list[Float32]) -> Float32:
    with model.stream(encoding="f32le") as stream:
        return np.concatenate([r.probs for piece in pieces for r in stream.feed(piece)])


@pytest.mark.parametrize("name", list(HYBRIDS))
def test_a_stream_gives_the_same_bits_in_any_pieces(
    folders: dict[str, Path], name: str, samples: Float32
) -> None:
    model = surnn.load(folders[name])
    assert model.runtime.name == "onnx", "auto takes the runtime that can"
    whole = streamed(model, [samples])
    assert whole.shape == (700, 3)
    np.testing.assert_array_equal(streamed(model, np.split(samples, [1, 8, 9, 300])), whole)


@pytest.mark.parametrize("name", list(HYBRIDS))
def test_a_saved_stream_goes_on_with_the_same_bits(
    folders: dict[str, Path], name: str, samples: Float32
) -> None:
    results = []
    for cuts in ([], [50, 333]):
        engine = Engine(OnnxRuntime(folders[name] / "model.onnx"))
        session = engine.open(StreamConfig(encoding=Encoding.F32LE, start_frame=10**12))
        probs = []
        for part in np.split(samples, cuts):
            session.push(part)
            (result,) = engine.step([session])
            assert result is not None
            probs.append(result.probs)
            saved = pack(engine.save(session))
            engine = Engine(OnnxRuntime(folders[name] / "model.onnx"))
            session = engine.restore(unpack(saved))
        results.append(np.concatenate(probs))
    np.testing.assert_array_equal(*results)


def test_served_like_any_other_model(
    folders: dict[str, Path],
    serve: Callable[..., AbstractContextManager[Any]],
    samples: Float32,
) -> None:
    models = {name: surnn.load(folder) for name, folder in folders.items()}
    with serve(models) as live:
        for name, model in models.items():
            with connect(live.url, model=name, encoding="f32le", report="frame") as stream:
                pieces = [samples[i : i + 50].tobytes() for i in range(0, 700, 50)]
                chunks = [m for m in stream.run(pieces) if isinstance(m, Chunk)]
            seen = [p for c in chunks for p in c.probs["b"].frames or ()]
            np.testing.assert_allclose(seen, streamed(model, [samples])[:, 1], atol=1e-5)
            always = [i for i, s in enumerate(model.spec.layers) if s.traits.update == "always"]
            for sparsity in (c.sparsity for c in chunks):
                assert len(sparsity.open_rate) == len(model.spec.layers)
                assert sparsity.updates + sparsity.skipped == sparsity.possible
                assert all(sparsity.open_rate[i] == 1.0 for i in always)
        listed = httpx.get(f"{live.url}/v1/models").json()["models"]
        cells = {m["name"]: m["cells"] for m in listed}
        metrics = httpx.get(f"{live.url}/metrics").text
    assert cells["bmru-lru"] == ["bmru", "lru"]
    assert cells["everything"] == [cell.value for cell in Cell]
    assert 'surnn_model_info{cells="bmru,lru",model="bmru-lru",version="1"} 1.0' in metrics


def test_info_shows_cells_and_blocks(folders: dict[str, Path]) -> None:
    runner = CliRunner()
    text = runner.invoke(cli, ["info", str(folders["bmru-lru"])]).stdout
    assert "bmru, 24 neurons, updated by writes" in text
    assert "lru, 24 neurons, all updated in every frame" in text
    assert "in a block: rms norm, glu, residual" in text
    record = json.loads(runner.invoke(cli, ["info", str(folders["bmru-lru"]), "--json"]).stdout)
    assert [s["name"] for s in record["state"][-2:]] == ["s0", "h1"]
    assert record["state"][-1]["shape"] == [2, 24]


def test_export_proves_every_cell_again(folders: dict[str, Path], tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["export", str(folders["everything"]), "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "equal to the network" in result.stdout
    assert (tmp_path / "model.onnx").is_file()


def test_the_native_runtime_says_what_it_cannot_run(folders: dict[str, Path]) -> None:
    with pytest.raises(InvalidConfig, match=r"\['bmru in a block', 'lru in a block'\], expected"):
        surnn.load(folders["bmru-lru"], runtime="native")


def test_numbers_are_streamed_as_they_are(
    stack_spec: Callable[..., ModelSpec],
    serve: Callable[..., AbstractContextManager[Any]],
    samples: Float32,
    tmp_path: Path,
) -> None:
    """A linear head: no squashing on the way, no events, no thresholds."""
    torch.manual_seed(0)
    network = Network(stack_spec(LayerSpec(cell=Cell.CMRU, hidden=16), head=Head.LINEAR))
    with torch.no_grad():
        network.head.bias.copy_(torch.tensor([-70.0, 0.0, 70.0]))
    export(network.eval(), tmp_path / "stack")
    model = surnn.load(tmp_path / "stack")
    with torch.no_grad():
        expected = network(torch.from_numpy(samples)[None]).logits[0].numpy()
    assert expected.min() < -50
    assert expected.max() > 50
    np.testing.assert_allclose(streamed(model, [samples]), expected, atol=1e-4)
    with pytest.raises(InvalidConfig, match="gives numbers, not probabilities"):
        model.stream(thresholds={"a": {"on": 0.5}})
    options = {"model": "stack", "encoding": "f32le", "report": "frame"}
    with serve({"stack": model}) as live, connect(live.url, **options) as stream:
        chunks = [m for m in stream.run([samples.tobytes()]) if isinstance(m, Chunk)]
    rows = [p for c in chunks for p in c.probs["a"].frames or ()]
    np.testing.assert_allclose(rows, expected[:, 0], atol=1e-3)
