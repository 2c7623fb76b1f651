from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surnn.answers import probabilities
from surnn.engine import Engine, Session, StreamConfig
from surnn.errors import InvalidConfig, InvalidShape, PoolFull, StaleSlot
from surnn.runtimes.base import Runtime
from surnn.spec import Head, ModelSpec
from surnn.types import ChunkResult, Float32

MakeRuntime = Callable[[ModelSpec], Runtime]
Bursts = Callable[..., Float32]


def drain(engine: Engine, sessions: list[Session], block: int = 1000) -> list[list[ChunkResult]]:
    """All results of each session, run together."""
    found: list[list[ChunkResult]] = [[] for _ in sessions]
    while any(session.ready for session in sessions):
        for results, result in zip(found, engine.step(sessions, block), strict=True):
            if result is not None:
                results.append(result)
    return found


def probs_of(results: list[ChunkResult]) -> Float32:
    return np.concatenate([result.probs for result in results])


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(0, 2500), min_size=1, max_size=6),
    block=st.integers(1, 20),
    cut=st.integers(0, 2500),
)
def test_alone_is_the_same_as_in_any_batch(
    audio_spec: ModelSpec, make_runtime: MakeRuntime, lengths: list[int], block: int, cut: int
) -> None:
    rng = np.random.default_rng(len(lengths))
    streams = [(0.2 * rng.uniform(-1, 1, n)).astype(np.float32) for n in lengths]
    engine = Engine(make_runtime(audio_spec), capacity=len(streams))
    sessions = [engine.open() for _ in streams]
    together: list[list[ChunkResult]] = [[] for _ in streams]
    for part in (slice(None, cut), slice(cut, None)):
        for session, stream in zip(sessions, streams, strict=True):
            session.push(stream[part])
            if part.stop is None:
                session.finish()
        for results, new in zip(together, drain(engine, sessions, block), strict=True):
            results += new
    for session, stream, results in zip(sessions, streams, together, strict=True):
        alone = Engine(make_runtime(audio_spec))
        one = alone.open()
        one.push(stream)
        one.finish()
        (whole,) = drain(alone, [one])
        assert session.frames == one.frames == -(-len(stream) // 160)
        if whole:
            np.testing.assert_array_equal(probs_of(results), probs_of(whole))
        after, expected = engine.pool.read(session.slot), alone.pool.read(one.slot)
        assert {n: a.tobytes() for n, a in after.items()} == {
            n: a.tobytes() for n, a in expected.items()
        }
        assert session.sparsity() == one.sparsity()


def test_results_follow_one_another_without_gap(
    audio_spec: ModelSpec, make_runtime: MakeRuntime, bursts: Bursts
) -> None:
    engine = Engine(make_runtime(audio_spec))
    session = engine.open()
    session.push(bursts(1.234, (0.2, 0.8)))
    session.finish()
    (results,) = drain(engine, [session], block=7)
    assert [r.first_frame for r in results] == list(range(0, 124, 7))
    assert results[0].start == 0.0
    for before, after in pairwise(results):
        assert before.end == after.start
        assert before.first_frame + before.frames == after.first_frame
    assert results[-1].end == session.seconds == 1.24
    events = [event for result in results for event in result.events]
    assert [(e.kind.value, e.time) for e in events] == [
        ("start", pytest.approx(0.2, abs=0.03)),
        ("end", pytest.approx(0.82, abs=0.03)),
    ]


def test_sparsity_adds_up(audio_spec: ModelSpec, make_runtime: MakeRuntime) -> None:
    engine = Engine(make_runtime(audio_spec))
    session = engine.open()
    session.push(np.zeros(160 * 50, np.float32))
    (results,) = drain(engine, [session], block=8)
    total = session.sparsity()
    # The fake opens (7 t + layer) mod (hidden + 1) neurons of each layer in frame t.
    opened = [[(t * 7) % 5 for t in range(50)], [(t * 7 + 1) % 7 for t in range(50)]]
    assert total.updates == sum(map(sum, opened)) == sum(r.sparsity.updates for r in results)
    assert total.possible == 50 * 10 == sum(r.sparsity.possible for r in results)
    assert total.skipped == total.possible - total.updates
    assert total.bytes_written == 4 * total.updates
    assert total.bytes_skipped == 4 * total.skipped
    assert total.open_rate == pytest.approx((sum(opened[0]) / 200, sum(opened[1]) / 300))
    rates = np.concatenate([r.open_rates for r in results])
    np.testing.assert_allclose(rates[:, 0] * 4, opened[0], atol=1e-6)
    np.testing.assert_allclose(rates[:, 1] * 6, opened[1], atol=1e-6)


def test_nothing_computed_is_no_sparsity(audio_spec: ModelSpec, make_runtime: MakeRuntime) -> None:
    sparsity = Engine(make_runtime(audio_spec)).open().sparsity()
    assert (sparsity.updates, sparsity.possible, sparsity.open_rate) == (0, 0, (0.0, 0.0))


def test_sessions_without_a_whole_frame_give_none(
    audio_spec: ModelSpec, make_runtime: MakeRuntime
) -> None:
    runtime = make_runtime(audio_spec)
    engine = Engine(runtime, capacity=3)
    sessions = [engine.open() for _ in range(3)]
    sessions[1].push(np.zeros(160, np.float32))
    sessions[2].push(np.zeros(159, np.float32))
    none, result, short = engine.step(sessions)
    assert none is None
    assert short is None
    assert result is not None
    assert result.frames == 1
    assert engine.step(sessions) == [None, None, None]
    assert runtime.batches == [1]  # type: ignore[attr-defined]


def test_a_closed_session_costs_the_others_no_frame(
    audio_spec: ModelSpec, make_runtime: MakeRuntime
) -> None:
    engine = Engine(make_runtime(audio_spec), capacity=2)
    sessions = [engine.open(), engine.open()]
    for session in sessions:
        session.push(np.zeros(1600, np.float32))
    engine.close(sessions[1])
    with pytest.raises(StaleSlot):
        engine.step(sessions)
    with pytest.raises(InvalidShape, match="a session appears twice"):
        engine.step([sessions[0], sessions[0]])
    assert sessions[0].ready == 10
    (result,) = engine.step(sessions[:1])
    assert result is not None
    assert result.frames == 10


def test_a_slot_is_free_after_close_and_after_a_refused_start(
    audio_spec: ModelSpec, make_runtime: MakeRuntime
) -> None:
    engine = Engine(make_runtime(audio_spec))
    with pytest.raises(InvalidConfig, match="stream has 99 channels"):
        engine.open(StreamConfig(channels=99))
    with pytest.raises(InvalidConfig, match="threshold for 'dog'"):
        engine.open(StreamConfig(thresholds={"dog": {"on": 0.5}}))
    session = engine.open()
    with pytest.raises(PoolFull):
        engine.open()
    engine.close(session)
    engine.close(session)
    assert len(engine.pool) == 0
    engine.open()


def test_start_frame_sets_the_clock(audio_spec: ModelSpec, make_runtime: MakeRuntime) -> None:
    engine = Engine(make_runtime(audio_spec), capacity=2)
    session = engine.open(StreamConfig(start_frame=10**15))
    session.push(np.zeros(320, np.float32))
    engine.step([session])
    assert engine.pool.read(session.slot)["t"] == 10**15 + 2
    for wrong in (-1, 2**62):
        with pytest.raises(InvalidConfig, match=f"start_frame is {wrong}, expected 0 to 2"):
            engine.open(StreamConfig(start_frame=wrong))
    assert len(engine.pool) == 1


def test_thresholds_belong_to_one_session(
    audio_spec: ModelSpec, make_runtime: MakeRuntime, bursts: Bursts
) -> None:
    engine = Engine(make_runtime(audio_spec), capacity=2)
    usual, strict = engine.open(), engine.open(StreamConfig(thresholds={"speech": {"min_on": 5}}))
    for session in (usual, strict):
        session.push(bursts(2.0, (0.5, 1.5)))
    first, second = engine.step([usual, strict])
    assert first is not None
    assert second is not None
    assert len(first.events) == 2
    assert second.events == ()


def test_sigmoid_and_softmax() -> None:
    logits = np.array([[0.0, 200.0, -200.0], [1.0, 2.0, 3.0]], np.float32)
    sigmoid = probabilities(logits, Head.SIGMOID)
    np.testing.assert_allclose(sigmoid[0], [0.5, 1.0, 0.0], atol=1e-7)
    np.testing.assert_allclose(sigmoid[1], 1 / (1 + np.exp(-logits[1].astype(float))), atol=1e-6)
    softmax = probabilities(logits * 10, Head.SOFTMAX)
    np.testing.assert_allclose(softmax.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(softmax[0], [0.0, 1.0, 0.0], atol=1e-7)
    np.testing.assert_allclose(softmax[1, 2] / softmax[1, 1], np.exp(10.0), rtol=1e-4)
    assert sigmoid.dtype == softmax.dtype == np.float32


@pytest.mark.parametrize("sizes", [[16_000], [100] * 160, [1, 700, 5_000, 10_299]])
def test_lookahead_delays_answers_and_loses_none(
    audio_spec: ModelSpec,
    make_runtime: Callable[[ModelSpec], Runtime],
    bursts: Callable[..., Float32],
    sizes: list[int],
) -> None:
    samples = bursts(1.0, (0.3, 0.6))

    def run(spec: ModelSpec) -> tuple[list[ChunkResult], Session]:
        engine = Engine(make_runtime(spec))
        session = engine.open()
        results, at = [], 0
        for size in [*sizes, None]:
            if size is None:
                session.finish()
            else:
                session.push(samples[at : at + size])
                at += size
            while session.ready:
                (result,) = engine.step([session], 37)
                assert result is not None
                results.append(result)
        return results, session

    plain, _ = run(audio_spec)
    late, session = run(audio_spec.model_copy(update={"lookahead": 4}))
    probs = np.concatenate([r.probs for r in late])
    assert len(probs) == session.reported == 100
    np.testing.assert_array_equal(probs[:-4], np.concatenate([r.probs for r in plain])[4:])
    starts = [r.first_frame for r in late if r.frames]
    ends = [r.first_frame + r.frames for r in late if r.frames]
    assert starts == [0, *ends[:-1]]
    assert sum(r.sparsity.possible for r in late) == session.sparsity().possible == 104 * 10
    first, delayed = (next(e.time for r in found for e in r.events) for found in (plain, late))
    assert first - delayed == pytest.approx(0.04)
