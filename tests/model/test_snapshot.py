"""Saved sessions: they go on with the same bits, and nothing else passes for one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surnn.encodings import Encoding
from surnn.engine import Engine, Session, StreamConfig
from surnn.errors import InvalidInput, InvalidSnapshot, PoolFull, StaleSlot
from surnn.runtimes.base import Runtime
from surnn.snapshot import Snapshot, pack, unpack
from surnn.spec import ModelSpec
from surnn.types import ChunkResult, Event, Float32

CONFIGS = [
    StreamConfig(),
    StreamConfig(sample_rate=44_100, encoding=Encoding.MULAW, channels=2),
    StreamConfig(sample_rate=8_000, thresholds={"speech": {"on": 0.7}}, start_frame=10**12),
]


def drain(engine: Engine, session: Session) -> list[ChunkResult]:
    results = []
    while session.ready:
        (result,) = engine.step([session], 50)
        assert result is not None
        results.append(result)
    return results


def summary(results: list[ChunkResult]) -> tuple[np.ndarray, np.ndarray, list[Event]]:
    probs = np.concatenate([r.probs for r in results])
    rates = np.concatenate([r.open_rates for r in results])
    return probs, rates, [event for r in results for event in r.events]


def stream_bytes(seed: int, size: int) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8).tobytes()


@given(
    cuts=st.lists(st.integers(0, 60_000), min_size=1, max_size=5), config=st.sampled_from(CONFIGS)
)
def test_a_session_that_moves_gives_the_same_bits(
    audio_spec: ModelSpec,
    make_runtime: Callable[[ModelSpec], Runtime],
    cuts: list[int],
    config: StreamConfig,
) -> None:
    data = stream_bytes(0, 60_000)
    engine = Engine(make_runtime(audio_spec))
    session = engine.open(config)
    session.push(data)
    expected = drain(engine, session)
    session.finish()
    expected += drain(engine, session)

    engine = Engine(make_runtime(audio_spec))
    session = engine.open(config)
    width = session.ingest.encoding.width * session.ingest.channels
    results, at = [], 0
    for cut in sorted(cuts):
        session.push(data[at:cut])
        if cut % 2:  # with frames that wait, or without
            results += drain(engine, session)
        saved = pack(engine.save(session))
        at = unpack(saved).state.position * width  # a split sample is sent again
        engine = Engine(make_runtime(audio_spec))
        session = engine.restore(unpack(saved))
    session.push(data[at:])
    results += drain(engine, session)
    session.finish()
    results += drain(engine, session)

    for seen, wanted in zip(summary(results), summary(expected), strict=True):
        np.testing.assert_array_equal(seen, wanted)
    assert session.events == len(summary(expected)[2])
    assert session.sparsity().updates == sum(r.sparsity.updates for r in expected)


@pytest.fixture
def saved(
    audio_spec: ModelSpec,
    make_runtime: Callable[[ModelSpec], Runtime],
    bursts: Callable[..., Float32],
) -> Snapshot:
    engine = Engine(make_runtime(audio_spec))
    session = engine.open(StreamConfig(sample_rate=48_000))
    session.push(bursts(1.0, (0.2, 0.9), rate=48_000))
    drain(engine, session)
    return engine.save(session)


def test_a_snapshot_is_small(saved: Snapshot) -> None:
    assert len(pack(saved)) < 8_000


def test_bytes_come_back_as_they_were(saved: Snapshot) -> None:
    again = unpack(pack(saved))
    assert again.state == saved.state
    assert again.arrays.keys() == saved.arrays.keys()
    for name, array in saved.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)
        assert again.arrays[name].dtype == array.dtype


@given(data=st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidSnapshot):
        unpack(data)


@given(at=st.integers(0, 10**6), flip=st.integers(1, 255), cut=st.integers(0, 10**6))
def test_damaged_bytes_are_refused_or_fit_nowhere_else(
    at: int, flip: int, cut: int, audio_spec: ModelSpec, make_runtime: Callable[..., Runtime]
) -> None:
    """Whatever a changed byte does, it raises an error of ours or gives a usable session."""
    engine = Engine(make_runtime(audio_spec))
    session = engine.open(StreamConfig(sample_rate=44_100))
    session.push(stream_bytes(1, 9_000))
    data = bytearray(pack(engine.save(session)))
    data[at % len(data)] ^= flip
    other = Engine(make_runtime(audio_spec))
    for damaged in (bytes(data), bytes(data[: cut % len(data)])):
        try:
            restored = other.restore(unpack(damaged))
        except InvalidInput:
            assert len(other.pool) == 0
        else:
            restored.push(stream_bytes(2, 1_000))
            other.step([restored])
            other.close(restored)


def test_a_session_of_another_model_is_refused(
    saved: Snapshot, audio_spec: ModelSpec, make_runtime: Callable[[ModelSpec], Runtime]
) -> None:
    engine = Engine(make_runtime(audio_spec))
    saved.state = saved.state.model_copy(update={"model": "other"})
    with pytest.raises(InvalidSnapshot, match="session belongs to model other, expected fake"):
        engine.restore(saved)
    assert len(engine.pool) == 0


@pytest.mark.parametrize("name", ["pending", "history", "state.h0"])
def test_arrays_that_do_not_fit_are_refused(
    saved: Snapshot,
    name: str,
    audio_spec: ModelSpec,
    make_runtime: Callable[[ModelSpec], Runtime],
) -> None:
    engine = Engine(make_runtime(audio_spec))
    whole = saved.arrays[name]
    for bad in (np.zeros((3, 3), np.float32), None):
        del saved.arrays[name]
        if bad is not None:
            saved.arrays[name] = bad
        with pytest.raises(InvalidInput):
            engine.restore(saved)
        assert len(engine.pool) == 0
        saved.arrays[name] = whole


def test_nan_is_refused(saved: Snapshot) -> None:
    saved.arrays["state.h0"][1] = np.nan
    with pytest.raises(InvalidSnapshot, match=r"array 'state.h0' holds NaN"):
        unpack(pack(saved))


def test_ended_and_closed_sessions_cannot_be_saved(
    audio_spec: ModelSpec, make_runtime: Callable[[ModelSpec], Runtime]
) -> None:
    engine = Engine(make_runtime(audio_spec))
    session = engine.open()
    session.finish()
    with pytest.raises(InvalidSnapshot, match="stream has ended"):
        engine.save(session)
    engine.close(session)
    session = engine.open()
    engine.close(session)
    with pytest.raises(StaleSlot):
        engine.save(session)


def test_restoring_needs_a_slot(
    saved: Snapshot, audio_spec: ModelSpec, make_runtime: Callable[[ModelSpec], Runtime]
) -> None:
    engine = Engine(make_runtime(audio_spec), capacity=1)
    engine.open()
    with pytest.raises(PoolFull):
        engine.restore(saved)
