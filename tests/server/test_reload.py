"""A folder of models that changes while the server runs."""

from __future__ import annotations

import asyncio
import gc
import os
import time
import weakref

import httpx
import numpy as np
import onnx
import pytest
import torch

from surnn.errors import CorruptModel
from surnn.export import build
from surnn.nn import Network
from surnn.runtimes.onnxfile import check_onnx
from surnn.spec import Head, LayerSpec, ModelKind, ModelSpec, ScaleFrontEnd
from surnn_server.repository import find_candidates, open_candidate


def _model(name="tiny", version="1", hidden=4):
    torch.manual_seed(0)
    spec = ModelSpec(
        name=name,
        version=version,
        kind=ModelKind.SENSOR,
        sample_rate=50,
        hop=1,
        channels=2,
        frontend=ScaleFrontEnd(mean=(0.0, 0.0), scale=(1.0, 1.0)),
        layers=(LayerSpec(hidden=hidden),),
        labels=("on",),
        head=Head.SIGMOID,
    )
    weights = {k: v.detach().numpy() for k, v in Network(spec).state_dict().items()}
    return build(spec, weights)


@pytest.fixture(scope="module")
def models():
    return {v: _model(version=v).SerializeToString() for v in ("1", "2", "10")}


def _put(folder, data, *parts):
    path = folder.joinpath(*parts, "model.onnx")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_bytes(data)
    os.replace(temporary, path)
    return path


def test_the_highest_version_counts(tmp_path, models):
    _put(tmp_path, models["1"], "tiny")
    _put(tmp_path, models["2"], "tiny", "2")
    _put(tmp_path, models["10"], "tiny", "10")
    _put(tmp_path, models["1"], "flat")
    _put(tmp_path, models["1"], "Not A Name")
    found = find_candidates(tmp_path)
    assert set(found) == {"tiny", "flat"}
    assert found["tiny"].path.parent.name == "10"
    assert found["flat"].path == tmp_path / "flat" / "model.onnx"


def test_links_out_of_the_folder_are_not_followed(tmp_path, models):
    inside, outside = tmp_path / "in", tmp_path / "out"
    _put(outside, models["1"])
    inside.mkdir()
    (inside / "tiny").symlink_to(outside)
    assert find_candidates(inside) == {}


def _external(data):
    model = onnx.load_from_string(data)
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"
    tensor.ClearField("raw_data")
    return model.SerializeToString()


def _edited(data, change):
    model = onnx.load_from_string(data)
    change(model)
    return model.SerializeToString()


def _in_a_subgraph(model):
    tensor = onnx.TensorProto(name="w", data_location=onnx.TensorProto.EXTERNAL)
    graph = onnx.helper.make_graph([], "inner", [], [], [tensor])
    node = model.graph.node.add(op_type="If", name="x")
    node.attribute.append(onnx.helper.make_attribute("then_branch", graph))


def _another_spec(model):
    for item in model.metadata_props:
        item.value = item.value.replace('"labels":["on"]', '"labels":["on","off"]')


HOSTILE = {
    "nothing": (lambda data: b"", "has no|cannot be loaded|holds"),
    "junk": (lambda data: b"\xff" * 100, "is damaged"),
    "cut off": (lambda data: data[: len(data) // 2], "is damaged|cannot be loaded"),
    "another file": (_external, "keeps weights in another file"),
    "hidden": (lambda d: _edited(d, _in_a_subgraph), "keeps weights in another file"),
    "another name": (lambda d: _model("other").SerializeToString(), "calls itself 'other'"),
    "metadata": (
        lambda d: _edited(d, lambda m: m.ClearField("metadata_props")),
        "has no 'surnn' metadata",
    ),
    "shape": (
        lambda d: _edited(d, _another_spec),
        r"'logits' is tensor\(float\) .*, expected float32 \[..., 2\]",
    ),
    "state": (
        lambda d: _edited(d, lambda m: setattr(m.graph.input[0], "name", "x")),
        "cannot be loaded|takes",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_with_a_reason_and_without_a_path(tmp_path, models, kind):
    spoil, reason = HOSTILE[kind]
    _put(tmp_path, spoil(models["1"]), "tiny", "1")
    (candidate,) = find_candidates(tmp_path).values()
    with pytest.raises(CorruptModel, match=reason) as caught:
        open_candidate(candidate, 1 << 20)
    assert str(tmp_path) not in str(caught.value)


def test_large_files_are_refused_unread(tmp_path, models):
    _put(tmp_path, models["1"], "tiny")
    with pytest.raises(CorruptModel, match=r"has \d+ bytes, expected at most 10"):
        open_candidate(find_candidates(tmp_path)["tiny"], 10)


def test_a_model_that_remembers_too_much_is_refused(tmp_path, models, monkeypatch):
    monkeypatch.setattr("surnn_server.repository._MAX_STATE_BYTES", 20)
    _put(tmp_path, models["1"], "tiny")
    with pytest.raises(CorruptModel, match="remembers 24 bytes for each stream"):
        open_candidate(find_candidates(tmp_path)["tiny"], 1 << 20)


def test_nesting_has_an_end():
    # graph in attribute in node in graph, and again
    data = b""
    for _ in range(40):
        for field in (6, 5, 1):
            size, head = len(data), bytes([field << 3 | 2])
            length = bytearray()
            while size >= 0x80:
                length.append(size & 0x7F | 0x80)
                size >>= 7
            data = head + bytes([*length, size]) + data
    size = len(data)
    data = b"\x3a" + bytes([size & 0x7F | 0x80, size >> 7]) + data
    with pytest.raises(CorruptModel, match="nests deeper than 32 levels"):
        check_onnx(data, "deep")


def _reload(server):
    return httpx.post(f"{server.url}/v1/models/reload").json()


def test_old_sessions_finish_on_their_version_then_it_is_freed(run_server, call, tmp_path, models):
    sample = np.zeros(20, "<f4").tobytes()

    async def go(server):
        async with call(server) as a:
            assert (await a.start(model="tiny"))["model"]["version"] == "1"
            old = weakref.ref(server.service.workers["tiny"])
            _put(tmp_path, models["2"], "tiny", "2")
            assert await asyncio.to_thread(_reload, server) == {
                "loaded": {"tiny": "2"},
                "refused": {},
            }
            async with call(server) as b:
                assert (await b.start(model="tiny"))["model"]["version"] == "2"
                for client in (a, b):
                    await client.send(sample)
                    assert (await client.hear())["frames"] == 10
                    await client.say(type="end")
                    assert (await client.hear_all()).code == 1000
            return old

    _put(tmp_path, models["1"], "tiny", "1")
    with run_server(models_dir=str(tmp_path), models_poll_s=0) as server:
        old = asyncio.run(go(server))
        deadline = time.monotonic() + 5
        while old() is not None:
            assert time.monotonic() < deadline, "the old version is still there"
            gc.collect()
            time.sleep(0.02)
        text = httpx.get(f"{server.url}/metrics").text
        assert 'surnn_model_info{cells="sugru",model="tiny",version="2"}' in text
        assert 'surnn_model_info{cells="sugru",model="tiny",version="1"}' not in text


def test_a_bad_new_file_changes_nothing(run_server, tmp_path, models):
    _put(tmp_path, models["1"], "tiny", "1")
    _put(tmp_path, models["1"], "fake", "1")
    with run_server(models_dir=str(tmp_path), models_poll_s=0) as server:
        _put(tmp_path, _external(models["2"]), "tiny", "2")
        for _ in range(2):
            answer = _reload(server)
            assert answer["loaded"] == {}
            assert "another file" in answer["refused"]["tiny"]
            assert "is named in SURNN_MODELS already" in answer["refused"]["fake"]
        assert server.service.models["tiny"].spec.version == "1"
        assert server.metric("surnn_model_loads_total", outcome="refused") == 2
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        _put(tmp_path, models["2"], "tiny", "2")
        assert _reload(server)["loaded"] == {"tiny": "2"}


def test_the_folder_is_followed(run_server, tmp_path, models):
    with run_server(models_dir=str(tmp_path), models_poll_s=0.02) as server:
        _put(tmp_path, models["1"], "tiny")
        deadline = time.monotonic() + 5
        while "tiny" not in server.service.models:
            assert time.monotonic() < deadline, "the new model was not found"
            time.sleep(0.01)


def test_without_a_folder_there_is_nothing_to_reload(server):
    response = httpx.post(f"{server.url}/v1/models/reload")
    assert response.status_code == 422
    assert "expected SURNN_MODELS_DIR" in response.json()["error"]["message"]
