import json
from typing import Any

import pytest

from surnn_client import Chunk, LabelProbs, ProtocolViolation, StreamOptions, dump, parse

SPARSITY = {"open_rate": [0.25, 0.125], "updates": 240, "skipped": 1040, "possible": 1280}
COST = {"compute_ms": 0.25, "queue_ms": 1.5, "batch": 12, "realtime_factor": 400.0}
CHUNK: dict[str, Any] = {
    "type": "chunk",
    "seq": 1,
    "start": 0.0,
    "end": 0.125,
    "first_sample": 0,
    "end_sample": 1600,
    "frames": 10,
    "probs": {"speech": {"mean": 0.25, "max": 0.5}},
    "sparsity": SPARSITY,
    "cost": COST,
}
EVENT: dict[str, Any] = {
    "type": "event",
    "seq": 2,
    "label": "speech",
    "kind": "start",
    "time": 1.25,
    "score": 0.75,
    "sample": 20000,
    "open_rate": [0.25, 0.125],
    "latency_ms": 2.5,
    "number": 3,
}
CHECKPOINT = {"seq": 6, "position": 1600, "frames": 10, "events": 2, "token": "gAAA"}
BYE = {"code": "draining", "message": "bye", "retryable": True}
MESSAGES: list[dict[str, Any]] = [
    CHUNK,
    EVENT,
    {"type": "marker", "seq": 3, "id": "a"},
    {"type": "warning", "seq": 4, "code": "split_sample", "message": "one byte dropped"},
    {"type": "error", "seq": 5, "code": "invalid_audio", "message": "NaN", "retryable": False},
    {"type": "checkpoint", **CHECKPOINT},
    {"type": "checkpoint", **CHECKPOINT, "replaced_position": 12},
    {"type": "error", **BYE, **CHECKPOINT},
    {"type": "reconnected", "url": "ws://b", "reason": "draining", "attempts": 1, "position": 9},
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: str(m["type"]))
def test_what_is_parsed_is_written_back_the_same(message: dict[str, Any]) -> None:
    parsed = parse(json.dumps(message))
    assert parsed is not None
    assert json.loads(dump(parsed)) == message
    assert parse(dump(parsed)) == parsed


def test_ready_and_summary_are_written_back_the_same(
    ready_message: dict[str, Any], summary_message: dict[str, Any]
) -> None:
    stream = {"stream": {"encoding": "mulaw", "sample_rate": 8000, "channels": 2}}
    for message in (ready_message, ready_message | stream, summary_message):
        parsed = parse(json.dumps(message))
        assert parsed is not None
        assert json.loads(dump(parsed)) == message


def test_frame_reports_keep_every_frame_and_gain_mean_and_maximum() -> None:
    rows = [[0.5, 0.0, 0.25], [0.0, 0.0, 0.125]]
    raw = CHUNK | {"probs": {"speech": [0.0, 0.5, 1.0]}, "sparsity": SPARSITY | {"frames": rows}}
    chunk = parse(json.dumps(raw))
    assert isinstance(chunk, Chunk)
    assert chunk.probs["speech"] == LabelProbs(mean=0.5, max=1.0, frames=(0.0, 0.5, 1.0))
    assert chunk.sparsity.frames == ((0.5, 0.0, 0.25), (0.0, 0.0, 0.125))
    assert json.loads(dump(chunk)) == raw


def test_types_of_a_newer_server_are_passed_over() -> None:
    assert parse('{"type": "news", "seq": 7, "token": "x"}') is None
    assert parse('{"seq": 7}') is None


def test_fields_of_a_newer_server_are_passed_over() -> None:
    assert parse(json.dumps(EVENT | {"speaker": "A"})) == parse(json.dumps(EVENT))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("not json", "server sent 'not json', expected JSON"),
        ("[1]", "server sent '[1]', expected a JSON object"),
        ('{"type": "marker", "seq": 1}', "expected a complete 'marker' message: KeyError('id')"),
        ('{"type": "chunk", "seq": "x"}', "expected a complete 'chunk' message: ValueError"),
        (b"\xff\xfe", "expected JSON"),
    ],
)
def test_what_is_no_message_is_refused(data: str | bytes, expected: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        parse(data)
    assert expected in str(caught.value)
    assert caught.value.code == "protocol_violation"


def test_start_holds_only_what_was_chosen() -> None:
    assert json.loads(StreamOptions().start()) == {"type": "start", "model": "vad"}
    options = StreamOptions(
        model="m", encoding="mulaw", sample_rate=8000, thresholds={"speech": {"on": 0.6}}
    )
    assert json.loads(options.start()) == {
        "type": "start",
        "model": "m",
        "encoding": "mulaw",
        "sample_rate": 8000,
        "thresholds": {"speech": {"on": 0.6}},
    }


def test_messages_print_as_one_readable_line() -> None:
    assert str(parse(json.dumps(EVENT))) == "    1.25 s  speech start  score 0.75"
    assert str(parse(json.dumps(CHUNK))) == "    0.00 s  speech 0.25  open 25% 12%"
