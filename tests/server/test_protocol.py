"""The protocol without I/O: messages, order, merging, formats, codes."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from surnn import ChunkResult, Encoding, Event, EventKind, InvalidShape, Sparsity, UnknownModel
from surnn.formats import Format
from surnn_server import replies
from surnn_server.codes import CloseCode, ErrorCode, Refusal, code_of
from surnn_server.messages import End, Marker, Report, Start, parse
from surnn_server.negotiation import negotiate
from surnn_server.outputs import Computed, Ended
from surnn_server.protocol import Dialogue, Phase
from surnn_server.reports import Reporter
from surnn_server.settings import Settings


def test_start_has_a_default_for_everything_but_its_type():
    start = parse('{"type": "start"}')
    assert start == Start(type="start")
    assert (start.model, start.encoding, start.report) == ("vad", None, Report.CHUNK)


def test_start_with_everything():
    start = parse(
        '{"type": "start", "model": "m", "encoding": "mulaw", "sample_rate": 8000, "channels": 2,'
        ' "report": "frame", "report_interval_ms": 12.5, "thresholds": {"speech": {"on": 1}}}'
    )
    assert isinstance(start, Start)
    assert start.encoding is Encoding.MULAW
    assert start.thresholds == {"speech": {"on": 1.0}}


def test_a_marker_may_be_any_string():
    assert parse('{"type": "marker", "id": "\\u0000é"}') == Marker(type="marker", id="\0é")


@pytest.mark.parametrize(
    "text", ["", "nope", '{"type": "end"', '{"type": "marker", "id": "\\ud800"}']
)
def test_what_is_not_json(text):
    with pytest.raises(Refusal) as refused:
        parse(text)
    assert refused.value.code is ErrorCode.INVALID_JSON


@pytest.mark.parametrize(
    "text", ["1", "null", "[]", "{}", '{"type": 1}', '{"type": "end", "x": 1}']
)
def test_what_is_not_a_message(text):
    with pytest.raises(Refusal) as refused:
        parse(text)
    assert refused.value.code is ErrorCode.INVALID_MESSAGE


def test_a_long_text_is_not_repeated_in_full():
    with pytest.raises(Refusal) as refused:
        parse("x" * 10_000)
    assert len(refused.value.message) < 200


def test_the_order_of_a_dialogue():
    dialogue = Dialogue(1000)
    dialogue.text('{"type": "start"}')
    dialogue.binary(b"ab")
    assert isinstance(dialogue.text('{"type": "end"}'), End)
    assert dialogue.phase is Phase.ENDED
    dialogue.text('{"type": "keepalive"}')
    for late in ('{"type": "marker", "id": ""}', '{"type": "start"}', '{"type": "end"}'):
        with pytest.raises(Refusal, match="expected") as refused:
            dialogue.text(late)
        assert refused.value.code is ErrorCode.UNEXPECTED_MESSAGE


@pytest.mark.parametrize("text", ['{"type": "keepalive"}', '{"type": "end"}', '{"type": "flush"}'])
def test_nothing_comes_before_start(text):
    with pytest.raises(Refusal, match="before 'start', expected 'start' first"):
        Dialogue(1000).text(text)


def test_the_size_of_a_message_counts_in_bytes():
    with pytest.raises(Refusal) as refused:
        Dialogue(10).text("é" * 6)
    assert refused.value.message == "message of 12 bytes, expected at most 10"
    assert refused.value.code is ErrorCode.MESSAGE_TOO_BIG


def test_every_error_has_a_close_code_and_every_refusal_of_http_a_status():
    assert ErrorCode.SENT_TOO_FAST.close is CloseCode.SENT_TOO_FAST
    assert ErrorCode.INTERNAL.close == 1011
    assert ErrorCode.UNKNOWN_MODEL.status == 404
    assert code_of(UnknownModel("x")) is ErrorCode.UNKNOWN_MODEL
    assert code_of(InvalidShape("x")) is ErrorCode.INVALID_AUDIO


# Reports.


def result(first, probs, opened=0.25, events=(), compute_ms=1.0):
    count = len(probs)
    return ChunkResult(
        start=first / 100,
        end=(first + count) / 100,
        first_frame=first,
        probs=np.array(probs, np.float32)[:, None],
        opened=np.full((count, 1), 4 * opened, np.float32),
        hidden=(4,),
        neuron_bytes=(4,),
        updates=(round(4 * count * opened),),
        computed=count,
        events=tuple(events),
        compute_ms=compute_ms,
    )


def computed(item, arrived=0.0, queue_ms=2.0, batch=3, position=10**9):
    return Computed(item, position, arrived, queue_ms, batch)


@pytest.fixture
def make_reporter(specs):
    def make(report=Report.CHUNK, interval_ms=0.0, sample_rate=8000):
        return Reporter(specs["fake"], sample_rate, report, interval_ms)

    return make


def plain(message):
    return orjson.loads(replies.encode(message, 7))


def test_a_chunk(make_reporter):
    (message,) = make_reporter().computed(computed(result(10, [0.1, 0.3])), 0.0)
    assert plain(message) == {
        "type": "chunk",
        "seq": 7,
        "start": 0.1,
        "end": 0.12,
        "first_sample": 800,
        "end_sample": 960,
        "frames": 2,
        "probs": {"speech": {"mean": 0.2, "max": 0.3}},
        "sparsity": {"open_rate": [0.25], "updates": 2, "skipped": 6, "possible": 8},
        "cost": {"compute_ms": 1.0, "queue_ms": 2.0, "batch": 3, "realtime_factor": 20.0},
    }


def test_chunks_are_merged_until_they_cover_the_interval(make_reporter):
    reporter = make_reporter(interval_ms=30)
    assert reporter.computed(computed(result(0, [0.1])), 0.0) == []
    assert reporter.computed(computed(result(1, [0.2], opened=0.5), queue_ms=9), 0.0) == []
    (message,) = reporter.computed(computed(result(2, [0.3, 0.4]), batch=5), 0.0)
    chunk = plain(message)
    assert (chunk["start"], chunk["end"], chunk["frames"]) == (0.0, 0.04, 4)
    assert chunk["probs"]["speech"] == {"mean": 0.25, "max": 0.4}
    assert chunk["sparsity"] == {"open_rate": [0.3125], "updates": 5, "skipped": 11, "possible": 16}
    assert chunk["cost"]["queue_ms"] == 9
    assert chunk["cost"]["batch"] == 5
    assert chunk["cost"]["compute_ms"] == 3.0
    assert reporter.flush() == []


def test_frames_are_written_with_the_digits_they_have(make_reporter):
    reporter = make_reporter(Report.FRAME, interval_ms=20)
    reporter.computed(computed(result(0, [0.1])), 0.0)
    (message,) = reporter.computed(computed(result(1, [0.2])), 0.0)
    text = replies.encode(message, 0).decode()
    assert '"probs":{"speech":[0.1,0.2]}' in text
    assert '"frames":[[0.25,0.25]]' in text


def test_an_event_leaves_before_the_chunk_that_covers_it(make_reporter):
    event = Event("speech", EventKind.START, 0.05, 0.8125)
    reporter = make_reporter(interval_ms=1000)
    (message,) = reporter.computed(computed(result(0, [0.9], events=[event]), arrived=1.0), 1.5)
    assert plain(message) == {
        "type": "event",
        "seq": 7,
        "number": 1,
        "label": "speech",
        "kind": "start",
        "time": 0.05,
        "score": 0.8125,
        "sample": 400,
        "open_rate": [0.25],
        "latency_ms": 500.0,
    }
    assert [m["type"] for m in reporter.flush()] == ["chunk"]


def test_the_end_of_a_stream(make_reporter):
    reporter = make_reporter(interval_ms=1000)
    reporter.computed(computed(result(0, [0.9, 0.9]), position=100), 0.0)
    end = Event("speech", EventKind.END, 0.0125, 0.9)
    ended = Ended((end,), 100, 2, Sparsity((0.25,), 2, 8), dropped=1, arrived=0.0)
    chunk, event, warning, summary = (plain(m) for m in reporter.ended(ended, 0.001))
    assert chunk["end_sample"] == 100, "the last frame is filled up, the stream is not longer"
    assert event["latency_ms"] == 1.0
    assert warning["code"] == "split_sample"
    assert summary == {
        "type": "summary",
        "seq": 7,
        "reason": "end",
        "seconds": 0.0125,
        "samples": 100,
        "frames": 2,
        "events": 1,
        "sparsity": {"open_rate": [0.25], "updates": 2, "skipped": 6, "possible": 8},
        "cost": {"compute_ms": 1.0, "realtime_factor": 12.5},
    }


def test_samples_stay_exact_in_streams_of_months(make_reporter):
    reporter = make_reporter(sample_rate=44100)
    first = 10**10
    (message,) = reporter.computed(computed(result(first, [0.5]), position=10**14), 0.0)
    assert message["first_sample"] == first * 441
    assert message["end_sample"] == (first + 1) * 441


# REST's formats, settings.


@pytest.mark.parametrize(
    ("name", "accept", "expected"),
    [
        (None, "", Format.JSON),
        (None, "*/*", Format.JSON),
        (None, "application/json, text/plain, */*", Format.JSON),
        (None, "text/csv;q=0.5, application/x-ndjson", Format.NDJSON),
        (None, "text/*", Format.CSV),
        (None, "image/png, */*;q=0.1", Format.JSON),
        ("csv", "application/json", Format.CSV),
        ("text/vtt", "", Format.WEBVTT),
    ],
)
def test_formats_are_negotiated(name, accept, expected):
    assert negotiate(name, accept) is expected


@pytest.mark.parametrize("accept", ["image/png", "text/csv;q=0", "text/csv;q=x"])
def test_what_nobody_can_write_is_refused(accept):
    with pytest.raises(Refusal) as refused:
        negotiate(None, accept)
    assert refused.value.code is ErrorCode.NOT_ACCEPTABLE


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("SURNN_MODELS", "vad, /models/own.onnx")
    monkeypatch.setenv("SURNN_PORT", "9000")
    settings = Settings()
    assert settings.models == ("vad", "/models/own.onnx")
    assert settings.port == 9000


def test_every_setting_is_described():
    assert all(field.description for field in Settings.model_fields.values())
