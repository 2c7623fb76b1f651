import array
import json
from typing import Any

import numpy as np
import pytest

from surnn_client import (
    ConnectionLost,
    InvalidArgument,
    InvalidRequest,
    Marker,
    ProtocolViolation,
    ServerBusy,
    StreamClosed,
    StreamOptions,
)
from surnn_client.protocol import Phase, StreamProtocol


def opened(ready: dict[str, Any], options: StreamOptions | None = None) -> StreamProtocol:
    protocol = StreamProtocol(options or StreamOptions(sample_rate=16000))
    protocol.receive(json.dumps(ready))
    return protocol


def limited(ready: dict[str, Any], **limits: float) -> dict[str, Any]:
    return ready | {"limits": ready["limits"] | limits}


def chunk_until(sample: int) -> str:
    return json.dumps(
        {
            "type": "chunk",
            "seq": 1,
            "start": 0,
            "end": 1,
            "first_sample": 0,
            "end_sample": sample,
            "frames": 1,
            "probs": {},
            "sparsity": {"open_rate": [], "updates": 0, "skipped": 0, "possible": 0},
            "cost": {"compute_ms": 1, "realtime_factor": 1},
        }
    )


def test_sending_waits_for_half_of_what_the_server_buffers(ready_message: dict[str, Any]) -> None:
    protocol = opened(limited(ready_message, max_buffered_seconds=2.0))
    assert protocol.sent(8000 * 2 - 2) is None
    marker = protocol.sent(2)
    assert marker is not None
    before, extra, after = protocol.congested, protocol.sent(8000 * 2), protocol.congested
    assert (before, extra, after) == (False, None, True)
    echo = json.dumps({"type": "marker", "seq": 1, "id": json.loads(marker)["id"]})
    assert protocol.receive(echo) is None
    assert not protocol.congested


def test_chunks_report_progress_without_markers(ready_message: dict[str, Any]) -> None:
    protocol = opened(limited(ready_message, max_buffered_seconds=2.0))
    for second in range(1, 20):
        assert protocol.sent(7000 * 2) is None
        protocol.receive(chunk_until(7000 * second))
    assert not protocol.congested


def test_many_tiny_messages_wait_too(ready_message: dict[str, Any]) -> None:
    protocol = opened(ready_message)
    markers = [m for _ in range(2048) if (m := protocol.sent(2))]
    assert len(markers) == 1
    assert protocol.congested
    protocol.receive(json.dumps({"type": "marker", "seq": 1, "id": json.loads(markers[0])["id"]}))
    assert not protocol.congested


def test_the_callers_own_markers_come_through(ready_message: dict[str, Any]) -> None:
    protocol = opened(ready_message)
    assert protocol.receive('{"type": "marker", "seq": 1, "id": "mine"}') == Marker(1, "mine")


def test_large_data_is_split_to_fit_the_servers_limit(ready_message: dict[str, Any]) -> None:
    protocol = opened(limited(ready_message, max_message_bytes=1000))
    data = bytes(range(256)) * 10
    parts = list(protocol.parts(data))
    assert [len(part) for part in parts] == [1000, 1000, 560]
    assert b"".join(parts) == data


def test_arrays_are_sent_as_the_encoding_says(ready_message: dict[str, Any]) -> None:
    protocol = opened(ready_message)
    samples = np.array([[1, -2], [3, -4]], dtype=np.int16)
    assert b"".join(protocol.parts(samples)) == samples.tobytes()
    assert b"".join(protocol.parts(array.array("h", [1, -2]))) == samples[0].tobytes()
    assert list(protocol.parts(np.zeros((0, 2), np.int16))) == []
    floats = opened(ready_message, StreamOptions(encoding="pcm_f32le"))
    assert b"".join(floats.parts(np.ones(2, np.float32))) == np.ones(2, np.float32).tobytes()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (np.zeros(4, np.float32), "data is an array of 'f' items, expected 'h' for the encoding"),
        (np.zeros(8, np.int16)[::2], "data is an array with strides, expected a contiguous one"),
        ("text", "data is str, expected bytes or a contiguous array"),
    ],
)
def test_arrays_that_would_be_noise_are_refused(
    ready_message: dict[str, Any], data: Any, expected: str
) -> None:
    with pytest.raises(InvalidArgument, match="data is") as caught:
        list(opened(ready_message).parts(data))
    assert expected in str(caught.value)


def test_sensor_models_take_floats_by_default(ready_message: dict[str, Any]) -> None:
    sensor = ready_message | {"model": ready_message["model"] | {"hop": 1, "sample_rate": 50}}
    protocol = opened(sensor, StreamOptions(model="activity"))
    assert b"".join(protocol.parts(np.ones(6, np.float32))) == np.ones(6, np.float32).tobytes()


def test_end_is_sent_once_and_nothing_after_it(ready_message: dict[str, Any]) -> None:
    protocol = opened(ready_message)
    assert json.loads(protocol.end() or "") == {"type": "end"}
    assert protocol.end() is None
    with pytest.raises(StreamClosed, match="the stream is ending, expected an open one"):
        protocol.check_open()


def test_a_servers_error_is_what_the_stream_fails_with(ready_message: dict[str, Any]) -> None:
    protocol = opened(ready_message)
    protocol.receive(
        '{"type": "error", "seq": 1, "code": "draining", "message": "bye", "retryable": true}'
    )
    protocol.closed(1001, "")
    assert protocol.phase is Phase.CLOSED
    assert isinstance(protocol.failure, ServerBusy)
    assert (protocol.failure.code, protocol.failure.close_code) == ("draining", 1001)
    assert protocol.failure.retryable


def test_errors_of_a_newer_server_keep_their_code(ready_message: dict[str, Any]) -> None:
    protocol = opened(ready_message)
    protocol.receive(
        '{"type": "error", "seq": 1, "code": "invalid_token", "message": "x", "retryable": false}'
    )
    protocol.closed(4008, "")
    assert isinstance(protocol.failure, InvalidRequest)
    assert protocol.failure.code == "invalid_token"


def test_a_close_without_a_word_is_a_lost_connection(ready_message: dict[str, Any]) -> None:
    protocol = opened(ready_message)
    protocol.closed(1006, "")
    assert isinstance(protocol.failure, ConnectionLost)
    assert str(protocol.failure) == ("connection closed before the end of the stream (code 1006)")
    assert protocol.failure.retryable


def test_another_protocol_version_is_refused(ready_message: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolation, match="server speaks protocol 2, expected 1"):
        opened(ready_message | {"protocol": 2})


def test_a_full_window_is_never_left_without_a_question(ready_message: dict[str, Any]) -> None:
    protocol = opened(limited(ready_message, max_buffered_seconds=2.0))
    first = protocol.sent(16_000)
    assert first is not None
    # A chunk reports nearly up to the marker, so that a whole window more is sent meanwhile.
    protocol.receive(chunk_until(7_999))
    assert protocol.sent(31_998) is None
    assert protocol.sent(4_000) is None
    protocol.receive(json.dumps({"type": "marker", "seq": 2, "id": json.loads(first)["id"]}))
    assert protocol.congested
    assert protocol.probe() is not None
    assert protocol.probe() is None
