import io
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from surnn_client import (
    Client,
    ConnectionFailed,
    InvalidArgument,
    InvalidRequest,
    ProtocolViolation,
    Segment,
    ServerBusy,
)
from surnn_client.requests import batches

Answer = tuple[int, bytes]


@pytest.fixture
def answering() -> Iterator[Callable[[int, bytes], str]]:
    """Starts a server that gives one answer to everything."""
    servers: list[tuple[HTTPServer, threading.Thread]] = []

    def begin(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield begin
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_models_and_health(server_url: str) -> None:
    with Client(server_url) as client:
        (model,) = client.models()
        assert (model.name, model.kind, model.labels) == ("tiny", "audio", ("speech",))
        assert (model.layers, model.licence) == ((8, 4), "CC0-1.0")
        health = client.health()
        assert (health.status, health.models, health.sessions) == ("ready", ("tiny",), 0)


def test_scores_keep_the_callers_paths(server_url: str, recording: Path) -> None:
    contents = recording.read_bytes()
    with Client(server_url) as client:
        scores = {
            score.file: score
            for score in client.score(
                [recording, ("folder/bytes.wav", contents), ("open.wav", io.BytesIO(contents))],
                model="tiny",
            )
        }
    assert set(scores) == {str(recording), "folder/bytes.wav", "open.wav"}
    for score in scores.values():
        assert score.error is None
        (segment,) = score.segments
        assert segment == Segment("speech", 0.0, 1.0, segment.score)
        assert score.sparsity.updates + score.sparsity.skipped == score.sparsity.possible == 1200


def test_thresholds_reach_the_model(server_url: str, recording: Path) -> None:
    with Client(server_url) as client:
        (score,) = client.score([recording], model="tiny", thresholds={"speech": {"on": 0.99}})
        assert score.segments == ()
        with pytest.raises(InvalidRequest, match="threshold for 'nix'"):
            list(client.score([recording], model="tiny", thresholds={"nix": {"on": 0.99}}))


def test_text_formats(server_url: str, recording: Path) -> None:
    with Client(server_url) as client:
        text = client.score_text([recording], format="audacity", model="tiny")
        assert text == "0.000000\t1.000000\tspeech\n"
        with pytest.raises(InvalidRequest, match="format is 'xml'"):
            client.score_text([recording], format="xml", model="tiny")


def test_a_file_that_is_not_there(server_url: str) -> None:
    with Client(server_url) as client, pytest.raises(InvalidArgument, match="cannot be opened"):
        list(client.score(["nowhere.wav"], model="tiny"))


def test_files_of_one_name_go_in_different_requests() -> None:
    files = [("a/x.wav", b"1"), ("b/x.wav", b"2"), ("y.wav", b"3")]
    assert [list(batch.values()) for batch in batches(files)] == [files[:1], files[1:]]


def test_many_or_large_files_go_in_several_requests() -> None:
    many = [(f"{i}.wav", b"") for i in range(40)]
    assert [len(batch) for batch in batches(many)] == [16, 16, 8]
    assert list(batches([])) == []


def test_a_busy_server(answering: Callable[[int, bytes], str]) -> None:
    body = b'{"error": {"code": "draining", "message": "bye"}}'
    with Client(answering(503, body)) as client, pytest.raises(ServerBusy, match="bye") as caught:
        client.health()
    assert (caught.value.code, caught.value.retryable) == ("draining", True)


@pytest.mark.parametrize(
    ("status", "body", "kind", "expected"),
    [
        (404, b"<html>", ConnectionFailed, "answered HTTP 404, expected a surnn server"),
        (500, b'{"error": "x"}', ConnectionFailed, "answered HTTP 500"),
        (200, b"<html>", ProtocolViolation, "expected a list of models as JSON"),
        (200, b'{"models": [{}]}', ProtocolViolation, "KeyError"),
    ],
)
def test_something_else_answers(
    answering: Callable[[int, bytes], str],
    status: int,
    body: bytes,
    kind: type[Exception],
    expected: str,
) -> None:
    with Client(answering(status, body)) as client, pytest.raises(kind, match=expected):
        client.models()


def test_nobody_answers() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ConnectionFailed) as caught:
        client.models()
    assert str(caught.value).startswith("cannot reach http://127.0.0.1:9")
    assert caught.value.retryable
