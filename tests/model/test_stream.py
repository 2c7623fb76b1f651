from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surnn.encodings import Encoding
from surnn.errors import InvalidAudio, InvalidConfig, StaleSlot
from surnn.model import Model
from surnn.stream import Stream
from surnn.types import Event, Float32

Bursts = Callable[..., Float32]


def run(stream: Stream, pieces: list[bytes]) -> tuple[Float32, list[Event]]:
    """All probabilities and events of a stream."""
    results = [result for piece in pieces for result in stream.feed(piece)]
    last, ends = stream.finish()
    results += last
    events = [event for result in results for event in result.events] + ends
    return np.concatenate([r.probs for r in results]), events


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(0, 88_200), max_size=12), rate=st.sampled_from([16_000, 44_100]))
def test_any_chunking_is_the_same_as_the_whole(
    audio_model: Model, bursts: Bursts, cuts: list[int], rate: int
) -> None:
    pcm = (bursts(1.0, (0.25, 0.6), rate=rate) * 32767).astype("<i2").tobytes()
    whole, events = run(audio_model.stream(sample_rate=rate), [pcm])
    assert [event.kind.value for event in events] == ["start", "end"]
    edges = [0, *sorted(cuts), len(pcm)]
    pieces = [pcm[a:b] for a, b in pairwise(edges)]
    parts, same_events = run(audio_model.stream(sample_rate=rate), pieces)
    np.testing.assert_array_equal(parts, whole)
    assert same_events == events


def test_a_long_chunk_comes_back_in_blocks(audio_model: Model) -> None:
    with audio_model.stream() as stream:
        results = stream.feed(np.zeros(160 * 2500, np.float32))
    assert [result.frames for result in results] == [1000, 1000, 500]


def test_finish_closes_spans_and_tells_the_length(audio_model: Model, bursts: Bursts) -> None:
    with audio_model.stream() as stream:
        (started,) = stream.feed(bursts(1.005, (0.5, 2.0)))
        results, ends = stream.finish()
        assert [event.kind.value for event in started.events] == ["start"]
        assert [result.frames for result in results] == [1]
        assert [(event.kind.value, event.time) for event in ends] == [("end", 1.01)]
        assert stream.seconds == 1.01
        assert stream.sparsity.possible == 101 * 10


def test_a_dropped_half_sample_is_told(audio_model: Model) -> None:
    stream = audio_model.stream()
    stream.feed(bytes(321))
    with pytest.warns(UserWarning, match="stream ended inside a sample: 1 bytes dropped"):
        stream.finish()


def test_a_refused_chunk_does_not_end_the_stream(audio_model: Model, bursts: Bursts) -> None:
    samples = bursts(0.5, (0.1, 0.4))
    expected, _ = run(audio_model.stream(), [_pcm(samples)])
    stream = audio_model.stream()
    first = stream.feed(_pcm(samples[:3000]))
    with pytest.raises(InvalidAudio):
        stream.feed(np.full(10, np.nan))
    rest, _ = run(stream, [_pcm(samples[3000:])])
    np.testing.assert_array_equal(np.concatenate([first[0].probs, rest]), expected)


def _pcm(samples: Float32) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()


def test_streams_of_one_model_are_apart(audio_model: Model, bursts: Bursts) -> None:
    loud, quiet = audio_model.stream(), audio_model.stream()
    (heard,) = loud.feed(bursts(0.5, (0.0, 0.5)))
    (silence,) = quiet.feed(bursts(0.5))
    assert heard.probs[10:].min() > 0.5
    assert silence.probs.max() < 0.01


def test_a_closed_stream_refuses(audio_model: Model) -> None:
    with audio_model.stream() as stream:
        pass
    stream.close()
    with pytest.raises(StaleSlot):
        stream.feed(bytes(320))


def test_encodings_by_name(audio_model: Model) -> None:
    (by_name,) = audio_model.stream(encoding="mulaw").feed(bytes(160))
    (by_member,) = audio_model.stream(encoding=Encoding.MULAW).feed(bytes(160))
    np.testing.assert_array_equal(by_name.probs, by_member.probs)
    with pytest.raises(InvalidConfig, match=r"encoding is 'mp3', expected one of \['pcm_s16le'"):
        audio_model.stream(encoding="mp3")


def test_sensors(sensor_model: Model) -> None:
    samples = np.repeat(np.eye(3, dtype=np.float32) * 9, 10, axis=0)
    stream = sensor_model.stream(encoding="f32le")
    probs, events = run(stream, [samples[:7].tobytes(), samples[7:].tobytes()])
    assert probs.shape == (30, 3)
    assert probs.argmax(axis=1).tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert [event.label for event in events] == ["a", "a", "b", "b", "c", "c"]
