"""What those who run the server see: logs, traces, metrics and the board."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sys
from pathlib import Path

import pytest

from surnn.errors import MissingDependency
from surnn_server import Settings
from surnn_server.logs import JsonFormatter, TextFormatter
from surnn_server.metrics import Latency, Metrics
from surnn_server.tracing import NO_TRACES, make_tracer

DOCKER = Path(__file__).parents[2] / "docker"


@pytest.fixture
def json_lines():
    """Log lines of the server as they were written."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("surnn_server")
    level, logger.level = logger.level, logging.INFO
    logger.addHandler(handler)
    logger.propagate = False
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.propagate = True
    logger.setLevel(level)


def test_log_lines_are_json_with_session_ids(run_server, call, json_lines):
    async def go(server):
        async with call(server) as client:
            session = (await client.start())["session"]
            await client.say(type="end")
            await client.hear_all()
            return session

    with run_server() as server:
        logging.getLogger("surnn_server").setLevel(logging.INFO)
        session = asyncio.run(go(server))
        server.wait_until_empty()
    lines = [line for line in json_lines() if line.get("session") == session]
    assert [line["message"] for line in lines] == [
        f"session {session} started: model fake",
        f"session {session} ended: end",
    ]
    assert lines[0]["level"] == "info"
    assert lines[0]["logger"] == "surnn_server.connection"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", lines[0]["time"])


def test_a_failed_session_is_named_in_its_log_line(run_server, call, json_lines):
    def fail(frames):
        raise RuntimeError("broken")

    async def go(server):
        server.runtimes["fake"].before_run = fail
        async with call(server) as client:
            session = (await client.start())["session"]
            await client.send(bytes(3200))
            assert (await client.hear_all()).code == 1011
            return session

    with run_server() as server:
        session = asyncio.run(go(server))
    (line,) = [item for item in json_lines() if item["level"] == "error"]
    assert line["session"] == session
    assert "RuntimeError: broken" in line["exception"]


def test_whatever_is_logged_stays_one_line_of_json():
    record = logging.makeLogRecord({"msg": "a\nb \udc80 %s", "args": ("ü",), "path": Path("x")})
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == "a\nb ? ü"
    assert json.loads(line)["path"] == "x"


class FakeSpan:
    def __init__(self, name, attributes):
        self.name, self.attributes, self.ended = name, dict(attributes), 0

    def set_attribute(self, key, value):
        self.attributes[key] = value

    def end(self):
        self.ended += 1


class FakeTracer:
    def __init__(self):
        self.spans = []

    def start_span(self, name, *, attributes):
        self.spans.append(FakeSpan(name, attributes))
        return self.spans[-1]


def test_connections_and_batches_are_traced(run_server, stream_all, make_pcm, monkeypatch):
    tracer = FakeTracer()
    monkeypatch.setattr("surnn_server.service.make_tracer", lambda wanted: tracer)
    with run_server() as server:
        heard = asyncio.run(stream_all(server, make_pcm(1, 0.2)))
        server.wait_until_empty()
    (connection,) = [span for span in tracer.spans if span.name == "surnn.connection"]
    assert connection.attributes == {
        "surnn.session": heard.messages[0]["session"],
        "surnn.model": "fake",
        "surnn.reason": "end",
    }
    batches = [span for span in tracer.spans if span.name == "surnn.batch"]
    assert batches
    assert all(span.attributes == {"surnn.model": "fake", "surnn.batch": 1} for span in batches)
    assert all(span.ended == 1 for span in tracer.spans)


def test_traces_need_their_packages(monkeypatch):
    assert make_tracer(False) is NO_TRACES
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(MissingDependency, match=r"expected `pip install surnn\[otel\]`"):
        make_tracer(True)


def test_late_results_are_counted():
    metrics = Metrics()
    latency = Latency(metrics.latency.labels("m"), metrics.late.labels("m"), 0.25)
    for seconds in (0.01, 0.25, 0.26, 3.0):
        latency.observe(seconds)
    value = metrics.registry.get_sample_value
    assert value("surnn_results_late_total", {"model": "m"}) == 2
    assert value("surnn_latency_seconds_count", {"model": "m"}) == 4


def _names():
    """Series that a server has, with those that no label has made yet."""
    names = set()
    for family in Metrics().registry.collect():
        name, kind = family.name, family.type
        ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(kind, [""])
        names |= {name + end for end in ends}
    return names


def test_the_board_shows_metrics_that_exist_and_all_of_them():
    board = json.loads((DOCKER / "grafana" / "surnn.json").read_text())
    text = json.dumps([board["panels"], board["templating"]])
    shown = set(re.findall(r"\bsurnn_[a-z_]+", text))
    names = _names()
    assert shown <= names
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
    assert families <= {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


def test_compose_mounts_files_that_exist():
    mounts = re.findall(r"^\s+- (\./[^:]+):", (DOCKER / "compose.yaml").read_text(), re.MULTILINE)
    assert len(mounts) >= 3
    for mount in mounts:
        assert (DOCKER / mount).exists(), mount


def test_secrets_are_not_shown():
    shown = repr(
        Settings(ssl_keyfile_password="sesame", token_keys="sesame", state_keys="sesame,open")
    )
    assert "sesame" not in shown


def test_a_client_forges_no_line_of_the_log_and_reaches_no_terminal():
    name = "a\nERROR  forged\x1b[2J\u2028\x85.wav"
    record = logging.makeLogRecord({"msg": "refused: %s", "args": (name,), "levelname": "INFO"})
    line = TextFormatter().format(record)
    assert line.isprintable()
    assert line.endswith("refused: a\\x0aERROR  forged\\x1b[2J\\u2028\\x85.wav")
    assert JsonFormatter().format(record).count("\n") == 0


def test_lines_of_several_processes_say_whose_they_are():
    record = logging.makeLogRecord({"msg": "x", "levelname": "INFO", "name": "surnn_server.app"})
    assert TextFormatter(3).format(record).endswith(" INFO    [3] surnn_server.app: x")
    assert json.loads(JsonFormatter(3).format(record))["worker"] == 3
    assert "worker" not in json.loads(JsonFormatter().format(record))


def test_no_log_line_has_the_token_of_an_address(run_server, call, caplog):
    async def go(server):
        server.ws_url += "?token=secret-of-a-page"
        async with call(server) as client:
            await client.hear_all()

    with run_server() as server:
        # The test's server logs warnings only; others log more.
        with caplog.at_level(logging.INFO, logger="uvicorn.error"):
            asyncio.run(go(server))
        assert server.metric("surnn_errors_total", code="unauthorised") == 1
    assert "secret-of-a-page" not in caplog.text
