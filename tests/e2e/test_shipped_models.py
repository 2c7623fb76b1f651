"""What is promised of every shipped model, on a real recording."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import surnn
from surnn import checkpoint
from surnn.anomaly import Watcher
from surnn.answers import probabilities
from surnn.assets import demo_recording
from surnn.engine import Engine, StreamConfig
from surnn.nn import Output
from surnn.runtimes.base import Runtime
from surnn.runtimes.native import NativeRuntime
from surnn.runtimes.onnx import OnnxRuntime
from surnn.spec import ModelKind, SwitchMode
from surnn.types import Float32

MODELS = surnn.installed()
TRAINED = sorted(name for name in MODELS if not name.endswith("-int8"))
"""Not those whose weights are stored in 8 bits."""
ProbsOf = Callable[..., Float32]


@pytest.fixture(params=["onnx", "native"])
def runtime_of(request: pytest.FixtureRequest) -> Callable[[str], Runtime]:
    if request.param == "onnx":
        return lambda name: OnnxRuntime(MODELS[name])
    return lambda name: NativeRuntime.open(MODELS[name].parent)


def noise(seed: int, shape: tuple[int, ...]) -> Float32:
    values: Float32 = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return values


def sample_stream(model: str, recording: np.ndarray, frames: int) -> Float32:
    """Frames [T, S] that the model is made for."""
    spec = OnnxRuntime(MODELS[model]).spec
    if spec.kind is ModelKind.AUDIO:
        samples = np.resize(recording, frames * spec.hop).astype(np.float32) / 32768
        return samples.reshape(frames, spec.hop)
    front = spec.frontend
    assert front.type == "scale"
    walk = np.cumsum(noise(1, (frames, spec.channels)) * 0.1, axis=0) % 3 - 1.5
    values: Float32 = (walk / np.array(front.scale) + np.array(front.mean)).astype(np.float32)
    return values


def _frames_of(runtime: Runtime) -> int:
    """Frames of ten minutes, or of an hour and forty of a sensor that has one a second."""
    return max(6_000, round(600 * runtime.spec.frame_rate))


def chunks(frames: Float32, seed: int, longest: int) -> Iterator[Float32]:
    rng, at = np.random.default_rng(seed), 0
    while at < len(frames):
        size = int(rng.integers(1, longest))
        yield frames[at : at + size]
        at += size


@pytest.fixture(scope="module")
def trained() -> Callable[[str, Float32], Output]:
    """What the trained network gives for frames [T, S], in float64; once for each model."""
    known: dict[str, Output] = {}

    def run(name: str, frames: Float32) -> Output:
        if name not in known:
            with torch.no_grad():
                network = checkpoint.load(MODELS[name].parent).double()
                known[name] = network(torch.from_numpy(frames)[None].double())
        return known[name]

    return run


def test_these_models_are_shipped() -> None:
    assert TRAINED == ["activity", "keywords", "machine", "vad"]


@pytest.mark.parametrize("name", TRAINED)
def test_ten_minutes_equal_the_trained_network(
    name: str,
    recording: np.ndarray,
    runtime_of: Callable[[str], Runtime],
    trained: Callable[[str, Float32], Output],
) -> None:
    runtime = runtime_of(name)
    frames = sample_stream(name, recording, _frames_of(runtime))
    out = trained(name, frames)
    pool = runtime.new_pool(1)
    slot = pool.acquire()
    blocks = [runtime.run(pool, [slot], [c])[0] for c in chunks(frames, 0, 500)]
    head = runtime.spec.head
    seen = probabilities(np.concatenate([b.logits for b in blocks]), head)
    expected = probabilities(out.logits[0].numpy(), head)
    opened = np.concatenate([b.opened for b in blocks])
    gates = torch.stack([g[0].sum(dim=-1) for g in out.gates], dim=-1).numpy()
    groups = np.array([layer.switch.group for layer in runtime.spec.layers], np.float32)
    # Clocks are exact; a switch that hears the input may flip where its sum is all but zero.
    flipped = (opened != gates * groups).mean()
    clocks = all(layer.switch.mode is SwitchMode.CLOCK for layer in runtime.spec.layers)
    assert flipped == 0 if clocks else flipped < 1e-4
    assert np.quantile(np.abs(seen - expected), 0.999) < 1e-5
    if not flipped:
        assert np.abs(seen - expected).max() < 1e-5
        for key, value in pool.read(slot).items():
            assert np.abs(value - out.state[key][0].numpy()).max() < 1e-4, key


@pytest.mark.parametrize("name", TRAINED)
def test_whole_equals_chunks_equals_batch(
    name: str, recording: np.ndarray, runtime_of: Callable[[str], Runtime]
) -> None:
    frames = sample_stream(name, recording, 1500)
    runtime = runtime_of(name)
    pool = runtime.new_pool(8)
    whole, chunked, first, last = (pool.acquire() for _ in range(4))
    (expected,) = runtime.run(pool, [whole], [frames])
    parts = [runtime.run(pool, [chunked], [c])[0] for c in chunks(frames, 1, 200)]
    batch = []
    for at in range(0, 1500, 50):  # in company that has other lengths and says other things
        other = noise(at, (at % 70, frames.shape[1]))
        batch.append(runtime.run(pool, [first, last], [other, frames[at : at + 50]])[1])
    for blocks in (parts, batch):
        seen = probabilities(np.concatenate([b.logits for b in blocks]), runtime.spec.head)
        wanted = probabilities(expected.logits, runtime.spec.head)
        np.testing.assert_allclose(seen, wanted, atol=1e-5, rtol=0)
        opened = np.concatenate([b.opened for b in blocks])
        np.testing.assert_array_equal(opened, expected.opened)
    for slot in (chunked, last):
        for key, value in pool.read(slot).items():
            np.testing.assert_allclose(value, pool.read(whole)[key], atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", TRAINED)
def test_closed_neurons_keep_their_bits(
    name: str, recording: np.ndarray, runtime_of: Callable[[str], Runtime]
) -> None:
    frames = sample_stream(name, recording, 400)
    runtime = runtime_of(name)
    pool = runtime.new_pool(1)
    slot = pool.acquire()
    for frame in frames:
        before = pool.read(slot)
        (block,) = runtime.run(pool, [slot], [frame[None]])
        after = pool.read(slot)
        for i in range(len(runtime.spec.layers)):
            moved = (before[f"h{i}"].view(np.uint32) != after[f"h{i}"].view(np.uint32)).sum()
            assert moved <= block.opened[0, i]


def test_clock_runs_on_for_ever(vad: surnn.Model, recording: np.ndarray) -> None:
    """A year of 10 ms frames is 3e9: far beyond it, switches open as often as on the first day."""
    rates = []
    for start in (0, 10**10, 2**61):
        with vad.stream(start_frame=start) as stream:
            (result,) = stream.feed(recording[: 1000 * 160])
            assert result.sparsity.updates + result.sparsity.skipped == result.sparsity.possible
            rates.append(result.sparsity.open_rate)
    assert np.abs(np.array(rates) - rates[0]).max() < 0.03


def test_vad_finds_the_speech_of_the_demo(vad: surnn.Model, recording: np.ndarray) -> None:
    with vad.stream() as stream:
        events = [e for r in stream.feed(recording) for e in r.events]
        events += stream.finish()[1]
    spans = [(e.time, e.kind) for e in events]
    # By ear: one order, one in three phrases, one after a long pause.
    for start, end in ((3.25, 6.7), (13.15, 18.4), (27.6, 29.6)):
        assert any(k == "start" and abs(t - start) < 0.4 for t, k in spans)
        assert any(k == "end" and abs(t - end) < 0.4 for t, k in spans)
    assert len(events) <= 14


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_other_rates_find_the_same_speech(
    vad: surnn.Model, recording: np.ndarray, rate: int
) -> None:
    import soxr

    samples = soxr.resample(recording.astype(np.float32) / 32768, 16_000, rate)
    with vad.stream(sample_rate=rate) as stream:
        probs = np.concatenate([r.probs for r in stream.feed(samples)])[:, 0]
    with vad.stream() as stream:
        expected = np.concatenate([r.probs for r in stream.feed(recording)])[: len(probs), 0]
    threshold = vad.spec.threshold
    agree = ((probs > threshold) == (expected[: len(probs)] > threshold)).mean()
    assert agree > (0.9 if rate == 8_000 else 0.97)


def test_digital_silence_is_quiet_and_its_open_rate_is_told(vad: surnn.Model) -> None:
    with vad.stream() as stream:
        results = stream.feed(np.zeros(160 * 3000, np.int16))
    assert not [e for r in results for e in r.events]
    assert all(0.0 < rate < 0.35 for r in results for rate in r.sparsity.open_rate)


def test_mean_open_rate_is_at_most_a_quarter(vad: surnn.Model, recording: np.ndarray) -> None:
    with vad.stream() as stream:
        stream.feed(recording)
        assert stream.sparsity.updates / stream.sparsity.possible <= 0.25


def test_a_saved_session_moves_to_another_engine(
    recording: np.ndarray, runtime_of: Callable[[str], Runtime]
) -> None:
    runtime = runtime_of("vad")
    first, second = Engine(runtime), Engine(runtime)
    whole = first.open(StreamConfig(sample_rate=44_100))
    whole.push(recording)
    expected = np.concatenate([r.probs for r in _drain(first, whole)])
    first.close(whole)
    session = first.open(StreamConfig(sample_rate=44_100))
    session.push(recording[:200_001])
    seen = [r.probs for r in _drain(first, session)]
    moved = second.restore(first.save(session))
    moved.push(recording[200_001:])
    seen += [r.probs for r in _drain(second, moved)]
    np.testing.assert_allclose(np.concatenate(seen), expected, atol=1e-6)


def _drain(engine: Engine, session: object) -> list[surnn.ChunkResult]:
    results = []
    while session.ready:  # type: ignore[attr-defined]
        (result,) = engine.step([session], 100)  # type: ignore[list-item]
        assert result is not None
        results.append(result)
    return results


def test_every_model_folder_is_complete() -> None:
    for path in (MODELS[name] for name in TRAINED):
        names = {p.name for p in path.parent.iterdir()}
        assert {"model.onnx", "model.safetensors", "spec.json", "README.md"} <= names
        card = (path.parent / "README.md").read_text()
        assert "licence" in card.lower()
        for image in path.parent.glob("*.png"):
            assert image.name in card
        assert path.stat().st_size < 4_000_000
        assert OnnxRuntime(path).spec == checkpoint.load(path.parent).spec
    assert Path(MODELS["vad"]).is_file()


def test_keywords_are_heard_in_words_of_strangers() -> None:
    samples, rate = soundfile.read(demo_recording("keywords"), dtype="int16")
    model = surnn.load("keywords")
    said = [
        "yes",
        "seven",
        "left",
        "house",
        "stop",
        "go",
        "on",
        "two",
        "no",
        "up",
        "right",
        "off",
        "down",
    ]

    def heard(threshold: float | None) -> list[str]:
        rules = None
        if threshold is not None:
            rules = {r.label: {"on": threshold, "off": threshold / 2} for r in model.spec.events}
        with model.stream(sample_rate=rate, thresholds=rules) as stream:
            return [e.label for c in stream.feed(samples) for e in c.events]

    sure, unsure = heard(None), heard(0.3)
    assert len(sure) >= 4
    assert len(unsure) >= 8
    for labels in (sure, unsure):  # in the order in which they were said, and nothing else
        rest = iter(said)
        assert all(label in rest for label in labels), labels


def test_keywords_keep_quiet_without_words() -> None:
    with surnn.load("keywords").stream() as stream:
        quiet = stream.feed(np.zeros(16_000 * 30, np.int16))
        hiss = stream.feed((300 * noise(3, (16_000 * 30,))).astype(np.int16))
    assert not [e for r in quiet + hiss for e in r.events]


def test_machine_tells_when_a_pump_changes() -> None:
    rng = np.random.default_rng(4)
    turns = np.arange(900)[:, None] / np.array([7.0, 31.0, 60.0])
    rows = np.sin(2 * np.pi * turns) + 0.2 * rng.standard_normal((900, 3))
    rows[600:700, 1:] += 4.0
    watcher = Watcher(surnn.load("machine"), 3)
    judged = [watcher.push(part) for part in np.split(rows, 9)]
    watcher.close()
    found = [(e.kind, e.time) for v in judged for e in v.events if e.label == "anomaly"]
    assert found[0][0] == "start"
    assert 600 <= found[0][1] <= 630
    assert not any(v.anomaly.any() for v in judged[:6])


@pytest.mark.parametrize("name", sorted(set(MODELS) - set(TRAINED)))
def test_weights_in_8_bits_are_as_good_as_their_card_says(name: str, recording: np.ndarray) -> None:
    folder = MODELS[name].parent
    figures = json.loads((folder / "int8.json").read_text())
    before, after = figures["float32"], figures["int8"]
    assert after["bytes"] == MODELS[name].stat().st_size < 0.5 * before["bytes"]
    told = [m for m in ("accuracy", "forced_accuracy", "f1", "auc") if before.get(m) is not None]
    assert told
    assert all(after[m] >= before[m] - 0.005 for m in told)
    whole, small = OnnxRuntime(MODELS[figures["of"]]), OnnxRuntime(MODELS[name])
    frames = sample_stream(figures["of"], recording, 3_000)
    probs = []
    for runtime in (whole, small):
        pool = runtime.new_pool(1)
        (block,) = runtime.run(pool, [pool.acquire()], [frames])
        probs.append(probabilities(block.logits, runtime.spec.head))
    assert np.abs(probs[0] - probs[1]).mean() < 0.02
