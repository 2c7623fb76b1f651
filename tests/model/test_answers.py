"""Answers of a batch against those of each session by itself: the same bits."""

from __future__ import annotations

from itertools import accumulate
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surnn.answers import answer_all, answer_one
from surnn.events import EventDetector
from surnn.runtimes.base import FrameBlock
from surnn.runtimes.joined import JoinedBlocks
from surnn.spec import EventRule, Head, ModelSpec
from surnn.types import ChunkResult


def block(rng: np.random.Generator, frames: int, labels: int, padded: bool) -> FrameBlock:
    logits = rng.normal(0, 5, (frames, labels + 3)).astype(np.float32)
    opened = rng.integers(0, 90, (2, frames)).astype(np.float32)
    # As the runtimes have them: cut out of something wider, or turned around.
    return FrameBlock(logits[:, :labels] if padded else logits[:, :labels].copy(), opened.T)


@given(
    lengths=st.lists(st.sampled_from([0, 1, 7, 8, 9, 10, 10, 10, 16, 100, 130]), min_size=1),
    before=st.lists(st.integers(0, 20), min_size=1),
    lookahead=st.integers(0, 12),
    labels=st.integers(1, 5),
    head=st.sampled_from(Head),
    padded=st.booleans(),
)
def test_a_batch_gives_what_each_gives(
    lengths: list[int], before: list[int], lookahead: int, labels: int, head: Head, padded: bool
) -> None:
    rng = np.random.default_rng(len(lengths))
    spec = SimpleNamespace(lookahead=lookahead, head=head)
    streams = [
        SimpleNamespace(spec=spec, frames=before[i % len(before)]) for i in range(len(lengths))
    ]
    blocks = [block(rng, n, labels, padded) for n in lengths]
    together = answer_all(streams, blocks)
    assert len(together) == len(streams)
    for stream, own, answer in zip(streams, blocks, together, strict=True):
        alone = answer_one(stream, own)
        np.testing.assert_array_equal(answer.probs, alone.probs)
        assert answer.probs.dtype == np.float32
        np.testing.assert_array_equal(answer.opened, alone.opened)
        assert (answer.updates, answer.computed) == (alone.updates, alone.computed)
        if answer.summary is None:
            continue
        fields = {"start": 0, "end": 0, "first_frame": 0, "events": (), "compute_ms": 0.0}
        results = [
            ChunkResult(
                **fields,
                probs=a.probs,
                opened=a.opened,
                hidden=(90, 90),
                updates=a.updates,
                computed=a.computed,
                neuron_bytes=(4, 4),
                summary=a.summary,
            )
            for a in (answer, alone)
        ]
        np.testing.assert_array_equal(results[0].mean_probs, results[1].mean_probs)
        np.testing.assert_array_equal(results[0].peak_probs, results[1].peak_probs)
        assert answer.extremes is not None
        assert answer.extremes[0] == alone.probs.max(axis=0).tolist()
        assert answer.extremes[1] == alone.probs.min(axis=0).tolist()


@pytest.mark.parametrize("lengths", [[10, 10, 10], [10, 9, 11], [0, 0], [10, 0, 20], [3] * 9])
@pytest.mark.parametrize("before", [0, 4, 20])
@pytest.mark.parametrize("head", Head)
def test_joined_blocks_give_what_separate_ones_give(
    lengths: list[int], before: int, head: Head
) -> None:
    rng = np.random.default_rng(1)
    spec = SimpleNamespace(lookahead=4, head=head)
    streams = [SimpleNamespace(spec=spec, frames=before) for _ in lengths]
    whole = block(rng, sum(lengths), 2, True)
    joined = JoinedBlocks(whole.logits, whole.opened, [0, *accumulate(lengths)])
    assert len(joined) == len(joined[:]) == len(lengths)
    for stream, own, answer in zip(streams, joined, answer_all(streams, joined), strict=True):
        alone = answer_one(stream, own)
        np.testing.assert_array_equal(answer.probs, alone.probs)
        np.testing.assert_array_equal(answer.opened, alone.opened)
        assert (answer.updates, answer.computed) == (alone.updates, alone.computed)


@pytest.mark.parametrize("on", [0.3, 0.5])
@given(
    values=st.lists(st.sampled_from([0.0, 0.2, 0.3, 0.45, 0.5, 0.7, 1.0]), max_size=60),
    cut=st.integers(1, 12),
)
def test_known_extremes_change_no_event(
    audio_spec: ModelSpec, values: list[float], cut: int, on: float
) -> None:
    rule = EventRule(label="speech", on=on, off=0.3, min_on=0.02, min_off=0.03)
    spec = audio_spec.model_copy(update={"events": (rule,)})
    probs = np.array(values, np.float32)[:, None]
    # Frame by frame nothing can be passed over wrongly for the sake of its neighbours.
    slow, plain, fast = EventDetector(spec), EventDetector(spec), EventDetector(spec)
    expected = [event for row in probs for event in slow.update(row[None])]
    for detector, knows in ((plain, False), (fast, True)):
        events = []
        for i in range(0, len(probs), cut):
            part = probs[i : i + cut]
            known = (part.max(axis=0).tolist(), part.min(axis=0).tolist()) if knows else None
            events += detector.update(part, known)
        assert events == expected
        assert detector.finish() == slow_end(slow)


def slow_end(detector: EventDetector) -> list[object]:
    memory = detector.memory()
    ended = list(detector.finish())
    detector.remember(detector._frame, memory)
    return list(ended)
