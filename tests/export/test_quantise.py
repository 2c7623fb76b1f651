"""Weights in 8 bits: smaller, nearly the same answers, the same carry."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import surnn
from surnn.errors import CorruptModel
from surnn.export.int8 import shrink
from surnn.export.quantise import quantise
from surnn.model import locate
from surnn.project import write_example
from surnn.runtimes.onnx import OnnxRuntime
from surnn.spec import ModelKind


@pytest.fixture(scope="module")
def content() -> bytes:
    return locate("vad").read_bytes()


def test_the_file_is_smaller_and_says_another_name(content: bytes) -> None:
    shrunk = shrink(content)
    assert len(shrunk.content) < 0.3 * len(content)
    assert shrunk.largest_error <= 0.5 / 127 * 1.001
    before, after = OnnxRuntime(content), OnnxRuntime(shrunk.content)
    assert after.spec.name == "vad-int8"
    assert after.spec.layers == before.spec.layers
    assert after.fingerprint != before.fingerprint
    assert shrink(content).content == shrunk.content


def test_whole_tables_and_masks_are_exact(content: bytes) -> None:
    """Clock tables, and the columns that close gates, come back bit for bit."""
    import onnxruntime as ort

    before = onnx.load_from_string(content)
    after = onnx.load_from_string(shrink(content).content)
    wanted = {
        t.name: numpy_helper.to_array(t)
        for t in before.graph.initializer
        if t.name.startswith(("sine_", "W_"))
    }
    assert len(wanted) == 4
    after.graph.output.extend(
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, a.shape)
        for n, a in wanted.items()
    )
    session = ort.InferenceSession(after.SerializeToString())
    spec = OnnxRuntime(content).spec
    feeds = {s.name: np.zeros((1, *s.shape), s.dtype) for s in spec.states}
    feeds |= {"frames": np.zeros((1, 1, 160), np.float32), "lengths": np.ones(1, np.int64)}
    for name, found in zip(wanted, session.run(list(wanted), feeds), strict=True):
        mask = np.abs(wanted[name]) >= 1000
        assert np.array_equal(found[mask], wanted[name][mask])
        assert not found[(wanted[name] == 0)].any()
        if name.startswith("sine"):
            assert np.array_equal(found, wanted[name])
        else:
            assert mask.any()


def test_answers_and_switches_hardly_change(content: bytes, recording: np.ndarray) -> None:
    answers = []
    for graph in (content, shrink(content).content):
        with surnn.Model(OnnxRuntime(graph)).stream() as stream:
            answers.append(stream.feed(recording[: 3 * 16_000]))
    for a, b in zip(*answers, strict=True):
        assert np.abs(a.probs - b.probs).max() < 0.1
        # Switches hear the input through weights that were rounded: a few that are undecided flip.
        assert (a.open_rates != b.open_rates).mean() < 0.02


@pytest.fixture
def recording() -> np.ndarray:
    import soundfile

    from surnn.assets import demo_recording

    return soundfile.read(demo_recording(), dtype="float32")[0]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Movements labelled with two of the shipped model's activities."""
    folder = tmp_path / "data"
    write_example(folder, sensor=True, seconds=4.0)
    for path in folder.glob("*.csv"):
        lines = path.read_text().replace("rest", "SEATED").replace("jump", "WALKING")
        lines = lines.replace("walk", "WALKING")
        head, *rows = lines.splitlines()
        six = []
        for row in rows:  # twice as fast: the model hears 100 rows a second
            time, x, y, z, *rest = row.split(",")
            six.append(",".join([f"{float(time) / 2:.4f}", x, y, z, "0.1", "0.2", "0.3", *rest]))
        path.write_text("\n".join([head.replace("z,", "z,a,b,c,"), *six]) + "\n")
    return folder


def test_a_small_model_is_written_with_what_was_measured(tables: Path, tmp_path: Path) -> None:
    out = tmp_path / "small"
    figures = quantise("activity", tables, out, tolerance=0.05, rounds=1)
    assert json.loads((out / "int8.json").read_text()) == figures
    assert figures["int8"]["bytes"] == (out / "model.onnx").stat().st_size
    assert figures["int8"]["bytes"] < 0.4 * figures["float32"]["bytes"]
    assert figures["answers"]["mean"] < 0.01
    model = surnn.load(out)
    assert (model.spec.name, model.spec.kind) == ("activity-int8", ModelKind.SENSOR)
    assert f"{figures['int8']['bytes']:,}" in (out / "README.md").read_text()


def test_a_small_model_that_is_worse_is_not_written(tables: Path, tmp_path: Path) -> None:
    with pytest.raises(CorruptModel, match=r"falls from .* with weights in 8 bits"):
        quantise("activity", tables, tmp_path / "small", tolerance=-1.0, rounds=1)
    assert not (tmp_path / "small").exists()


def test_forecasts_are_judged_by_anomalies(tmp_path: Path) -> None:
    rows = np.sin(np.arange(500) / 5.0)
    rows[450:480] += 6.0
    lines = [f"{i},{v:.4f},{int(450 <= i < 480)}" for i, v in enumerate(rows)]
    (tmp_path / "pump").mkdir()
    (tmp_path / "pump" / "1.csv").write_text("row,value,anomaly\n" + "\n".join(lines) + "\n")
    figures = quantise("machine", tmp_path, tmp_path / "small", files=["pump/*"], rounds=1)
    assert figures["int8"]["f1"] == pytest.approx(figures["float32"]["f1"], abs=0.05)
    assert figures["answers"]["mean"] < 0.1
    card = (tmp_path / "small" / "README.md").read_text()
    assert "Forecasts, in spreads of a channel, differ" in card
    assert "AUC" not in card


def test_words_are_what_a_spotter_is_judged_by(tmp_path: Path) -> None:
    from surnn.assets import demo_recording

    (tmp_path / "words.flac").write_bytes(demo_recording("keywords").read_bytes())
    (tmp_path / "segments.csv").write_text("file,start_s,end_s,label\nwords.flac,0.5,1.5,yes\n")
    figures = quantise("keywords", tmp_path, tmp_path / "small", tolerance=1.0, rounds=1)
    assert set(figures["int8"]) >= {"accuracy", "forced_accuracy", "open_rate"}
    assert "auc" not in figures["int8"]
