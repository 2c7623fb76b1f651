"""Thresholds and rules are chosen by what they cost on held-out streams."""

from __future__ import annotations

import numpy as np
import pytest

from surnn.model import Model
from surnn.segments import Segment
from surnn.spec import ModelSpec
from surnn.tuning import Stream, choose_rule, choose_threshold, measure_rule


def stream(speech: float, blip: float, frames: int = 1000, *, alone: bool = False) -> Stream:
    """Speech of a probability from 2 to 4 s, and a blip of 40 ms at 6 s."""
    probs = np.full((frames, 1), 0.1, np.float32)
    labels = np.zeros(frames, np.bool_)
    if not alone:
        probs[200:400], labels[200:400] = speech, True
    probs[600:604] = blip
    return Stream(probs, labels, () if alone else (Segment(2.0, 4.0, "speech"),))


@pytest.fixture
def spec(audio_model: Model) -> ModelSpec:
    return audio_model.spec.model_copy(update={"lookahead": 2})


def test_the_threshold_parts_speech_from_the_rest() -> None:
    assert 0.4 < choose_threshold([stream(0.6, 0.4), stream(0.7, 0.1)]) <= 0.6


def test_a_short_wait_needs_a_threshold_above_the_blips(spec: ModelSpec) -> None:
    streams = [stream(0.9, 0.6), stream(0.9, 0.7, alone=True)]
    rule = choose_rule(spec, streams, min_on=(0.02,))
    assert 0.7 < rule.on <= 0.9
    there, alone = measure_rule(spec, rule, streams)
    assert (there.found, there.false, alone.false) == (1, 0, 0)
    assert there.latencies == pytest.approx([0.04])


def test_latency_comes_before_false_events(spec: ModelSpec) -> None:
    streams = [stream(0.5, 0.8), stream(0.5, 0.8, alone=True)]
    quick = choose_rule(spec, streams, min_on=(0.02, 0.09))
    assert quick.min_on == 0.02, "a wait of 90 ms would mean 110"
    patient = choose_rule(spec, streams, min_on=(0.02, 0.09), latency=0.2)
    assert patient.min_on == 0.09
    assert measure_rule(spec, patient, streams)[1].false == 0


def test_events_end_where_frames_fall_below_their_own_threshold(spec: ModelSpec) -> None:
    streams = [stream(0.97, 0.9), stream(0.97, 0.94, alone=True)]
    for one in streams[:1]:
        one.probs[300:340] = 0.5  # what a start must reach would cut the event here
    rule = choose_rule(spec, streams, min_on=(0.02,))
    assert rule.on > 0.94
    assert rule.off == pytest.approx(choose_threshold(streams), abs=0.006)
    assert rule.off < 0.5
