"""The exported graph: equal to the network, really dynamic, and refused when it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from surnn import checkpoint
from surnn.cells import CELLS, Cell
from surnn.errors import CorruptModel, UnknownModel
from surnn.export import build, export, verify
from surnn.export.verify import check_graph
from surnn.nn import Network
from surnn.runtimes.onnx import OnnxRuntime
from surnn.spec import (
    EncoderSpec,
    Head,
    LayerSpec,
    LogMelFrontEnd,
    ModelKind,
    ModelSpec,
    ScaleFrontEnd,
    SwitchMode,
    SwitchSpec,
)


def make_network(
    mode: SwitchMode = SwitchMode.CLOCK,
    group: int = 1,
    encoder: EncoderSpec | None = None,
    cell: Cell = Cell.SUGRU,
) -> Network:
    torch.manual_seed(0)
    layer = LayerSpec(cell=cell, hidden=24, switch=SwitchSpec(mode=mode, group=group))
    return Network(
        ModelSpec(
            name="test",
            kind=ModelKind.AUDIO,
            sample_rate=16_000,
            hop=160,
            frontend=LogMelFrontEnd(),
            encoder=encoder,
            layers=(layer, layer),
            labels=("speech", "noise"),
            head=Head.SIGMOID,
        )
    )


def graph_of(network: Network) -> onnx.ModelProto:
    return build(network.spec, {k: v.detach().numpy() for k, v in network.state_dict().items()})


@pytest.mark.parametrize("mode", list(SwitchMode))
@pytest.mark.parametrize("group", [1, 8])
@pytest.mark.parametrize("cell", [c for c, traits in CELLS.items() if traits.switched])
def test_graph_equals_network(cell: Cell, mode: SwitchMode, group: int) -> None:
    network = make_network(mode, group, cell=cell)
    parity = verify(network, graph_of(network).SerializeToString())
    assert parity.frames > 100
    assert max(parity.probs, parity.state) < 1e-5


@pytest.mark.parametrize("mode", [SwitchMode.CLOCK, SwitchMode.CLOCK_INPUT])
def test_graph_with_encoder_equals_network(mode: SwitchMode) -> None:
    network = make_network(mode, 8, EncoderSpec(frames=7, width=16))
    verify(network, graph_of(network).SerializeToString())


def test_sensor_graph_equals_network() -> None:
    torch.manual_seed(0)
    network = Network(
        ModelSpec(
            name="sensor",
            kind=ModelKind.SENSOR,
            sample_rate=100,
            hop=1,
            channels=3,
            frontend=ScaleFrontEnd(mean=(0.0, 1.0, 2.0), scale=(1.0, 0.5, 2.0)),
            layers=(LayerSpec(hidden=7, switch=SwitchSpec(mode=SwitchMode.CLOCK_INPUT)),),
            labels=("a", "b", "c"),
            head=Head.SOFTMAX,
        )
    )
    verify(network, graph_of(network).SerializeToString())


def test_ten_minutes_in_random_chunks_equal_torch() -> None:
    network = make_network()
    runtime = OnnxRuntime(graph_of(network).SerializeToString())
    rng = np.random.default_rng(0)
    frames = (rng.standard_normal((60_000, 160)) * 0.05).astype(np.float32)
    frames *= (rng.random((60_000, 1)) < 0.7).astype(np.float32)  # with digital silence
    with torch.no_grad():
        out = network(torch.from_numpy(frames)[None])
    pool = runtime.new_pool(2)
    slot, logits, opened, at = pool.acquire(), [], [], 0
    while at < len(frames):
        size = int(rng.integers(1, 1000))
        (block,) = runtime.run(pool, [slot], [frames[at : at + size]])
        logits.append(block.logits)
        opened.append(block.opened)
        at += size
    assert np.abs(np.concatenate(logits) - out.logits[0].numpy()).max() < 1e-5
    gates = torch.stack([g[0].sum(dim=-1) for g in out.gates], dim=-1).numpy()
    np.testing.assert_array_equal(np.concatenate(opened), gates)  # the same switches, each frame
    for name, value in pool.read(slot).items():
        assert np.abs(value - out.state[name][0].numpy()).max() < 1e-5, name


def test_a_changed_weight_is_noticed() -> None:
    network = make_network()
    content = graph_of(network).SerializeToString()
    with torch.no_grad():
        network.stack[1].cell.weight_h[3, 4] += 0.01
    with pytest.raises(CorruptModel, match="graph differs from the network"):
        verify(network, content)


def test_a_changed_switch_is_noticed() -> None:
    network = make_network()
    content = graph_of(network).SerializeToString()
    with torch.no_grad():
        bias = network.stack[0].switch.bias
        assert bias is not None
        bias += 0.05
    with pytest.raises(CorruptModel):
        verify(network, content)


def test_a_static_axis_is_noticed() -> None:
    graph = graph_of(make_network())
    graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 50
    with pytest.raises(CorruptModel, match="expected a dynamic axis 'time'"):
        check_graph(graph)


def test_reset_before_the_matmul_is_noticed() -> None:
    graph = graph_of(make_network())
    gru = next(node for node in graph.graph.node if node.op_type == "GRU")
    del gru.attribute[:]
    with pytest.raises(CorruptModel, match="linear_before_reset"):
        check_graph(graph)


def test_export_writes_three_files_that_load_again(tmp_path: Path) -> None:
    network = make_network()
    export(network, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"model.onnx", "model.safetensors", "spec.json"}
    again = checkpoint.load(tmp_path)
    assert again.spec == network.spec == OnnxRuntime(tmp_path / "model.onnx").spec
    for name, value in again.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])


def test_loading_refuses_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=r"holds no spec.json"):
        checkpoint.load(tmp_path)
    export(make_network(), tmp_path)
    spec = make_network(group=8).spec
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    with pytest.raises(CorruptModel, match=r"layers.0.switch.amplitude"):
        checkpoint.load(tmp_path)
    (tmp_path / "spec.json").write_text("{}")
    with pytest.raises(CorruptModel, match="cannot be read"):
        checkpoint.load(tmp_path)
