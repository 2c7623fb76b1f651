"""The Autobahn suite (RFC 6455) against the protocol class that streams arrive at.

Runs where its fuzzing client is: it needs Python 2.7 and `autobahntestsuite<1`. `SURNN_WSTEST` is
the command that starts it, `SURNN_WSTEST_REPORT` a file for the result.
"""

from __future__ import annotations

import asyncio
import collections
import json
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from surnn.bench.machine import describe
from surnn_server.transport import DIRECT, StreamProtocol

COMMAND = os.environ.get("SURNN_WSTEST", "")
REPORT = os.environ.get("SURNN_WSTEST_REPORT", "")
WAYS = ("direct", "usual")
EXCLUDED = ["12.*", "13.*"]
"""Of permessage-deflate, which the server does not offer."""
KNOWN = {"7.1.5"}
"""A close between the pieces of a message: websockets, and so this server, answers 1002 for the
message that was left unfinished; the suite wants the close's own code."""
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}

pytestmark = pytest.mark.skipif(not COMMAND, reason="SURNN_WSTEST names no Autobahn client")


class Echo:
    """A sink that sends everything back."""

    full = False

    def __init__(self) -> None:
        self.protocol: StreamProtocol

    def text(self, text: str) -> None:
        self.protocol.conn.send_text(text.encode())
        self._flush()

    def binary(self, data: bytes) -> None:
        self.protocol.conn.send_binary(data)
        self._flush()

    def writable(self) -> None:
        pass

    def _flush(self) -> None:
        self.protocol.transport.write(b"".join(self.protocol.conn.data_to_send()))


def echo_app(way: str) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.accept"})
        if way == "direct":
            echo = Echo()
            echo.protocol = scope["extensions"][DIRECT]["attach"](echo)
        while (message := await receive())["type"] != "websocket.disconnect":
            assert way == "usual", "messages take the short way"
            content = {k: message[k] for k in ("text", "bytes") if message.get(k) is not None}
            await send({"type": "websocket.send", **content})

    return app


@pytest.fixture
def servers() -> Iterator[dict[str, str]]:
    """Addresses of echo servers by the way that messages take."""
    running = []
    for way in WAYS:
        config = uvicorn.Config(
            echo_app(way),
            port=0,
            ws=StreamProtocol,
            ws_max_size=1 << 26,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=asyncio.run, args=(server.serve(),))
        thread.start()
        running.append((way, server, thread))
    try:
        while not all(server.started for _, server, _ in running):
            time.sleep(0.01)
        ports = {way: server.servers[0].sockets[0].getsockname()[1] for way, server, _ in running}
        yield {way: f"ws://127.0.0.1:{port}" for way, port in ports.items()}
    finally:
        for _, server, thread in running:
            server.should_exit = True
            thread.join()


def test_every_case(servers: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(
        json.dumps(
            {
                "outdir": str(tmp_path / "reports"),
                "servers": [{"agent": way, "url": url} for way, url in servers.items()],
                "cases": ["*"],
                "exclude-cases": EXCLUDED,
                "exclude-agent-cases": {},
            }
        )
    )
    command = [*shlex.split(COMMAND), "-m", "fuzzingclient", "-s", str(tmp_path / "spec.json")]
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    results = json.loads((tmp_path / "reports" / "index.json").read_text())
    ways = [_way(way, results[way].items()) for way in WAYS]
    if REPORT:
        report = {"report": "conformance", "machine": describe(), "ways": ways}
        Path(REPORT).write_text(json.dumps(report, indent=2) + "\n")
    for way in ways:
        assert way["cases"] > 200
        assert set(way["failed"]) <= KNOWN


def _way(way: str, cases: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    outcomes: collections.Counter[str] = collections.Counter()
    failed = []
    for name, case in cases:
        good = case["behavior"] in GOOD and case["behaviorClose"] in GOOD
        outcomes[case["behavior"] if good else "FAILED"] += 1
        if not good:
            failed.append(name)
    return {
        "way": way,
        "cases": sum(outcomes.values()),
        "outcomes": dict(outcomes.most_common()),
        "failed": sorted(failed),
    }
