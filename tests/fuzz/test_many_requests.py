"""REST requests with odd bodies, queries and headers, straight into the application."""

from __future__ import annotations

import asyncio
import io
import json
from urllib.parse import quote

import numpy as np
import pytest
import soundfile

from surnn import Model
from surnn_server import Settings, create_app
from surnn_server.codes import ErrorCode
from surnn_server.dependencies import jobs_of, service_of

KNOWN = {200, 202, 400, *(code.status for code in ErrorCode)} - {500}
"""400 is how /v2 says 422."""
MULTIPART = "multipart/form-data; boundary=x"
JSON = "application/json"


class App:
    """The application on a loop of its own, called without HTTP."""

    def __init__(self, runtimes, folder) -> None:
        self.loop = asyncio.new_event_loop()
        settings = Settings(
            gather_ms=0,
            data_dir=str(folder),
            keep_jobs=5,
            job_queue=100,
            max_upload_bytes=1 << 16,
            max_infer_bytes=1 << 16,
        )
        self.app = create_app(settings, {n: Model(r) for n, r in runtimes.items()})
        self._life = self.app.router.lifespan_context(self.app)
        self.loop.run_until_complete(self._life.__aenter__())

    def close(self) -> None:
        self.loop.run_until_complete(self._life.__aexit__(None, None, None))
        self.loop.close()

    def call(self, method, path, query, headers, body):
        """Status, content type and body of the answer."""
        return self.loop.run_until_complete(self._call(method, path, query, headers, body))

    async def _call(self, method, path, query, headers, body):
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": query,
            "root_path": "",
            "headers": [(b"host", b"127.0.0.1:8000"), *headers],
            "client": ("127.0.0.1", 5),
            "server": ("127.0.0.1", 8000),
        }
        sent: list[dict] = []
        asked = False
        answered = asyncio.Event()

        async def receive():
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": body, "more_body": False}
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                answered.set()

        async with asyncio.timeout(20):
            await self.app(scope, receive, send)
        kind = dict(sent[0]["headers"]).get(b"content-type", b"").decode()
        return sent[0]["status"], kind, b"".join(m.get("body", b"") for m in sent[1:])

    def is_empty(self) -> bool:
        """No session, no slot and no connection is left once every sequence was ended."""
        service = service_of(self.app)

        async def settle():
            for sequence in list(self.app.state.v2.inference.sequences.values()):
                sequence.close("end", "over")
            async with asyncio.timeout(10):
                while any(w.sessions for w in service.workers.values()):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)

        self.loop.run_until_complete(settle())
        assert jobs_of(self.app) is not None
        return service.sessions == 0 and not service.connections


@pytest.fixture(scope="module")
def app(fuzz_runtimes, tmp_path_factory):
    app = App(fuzz_runtimes, tmp_path_factory.mktemp("jobs"))
    yield app
    app.close()


def _form(data, name="files", file="a.wav"):
    return (
        f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'.encode()
        + data
        + b"\r\n--x--\r\n"
    )


def _wav():
    file = io.BytesIO()
    soundfile.write(file, np.zeros(800, np.float32), 16_000, format="WAV")
    return file.getvalue()


WAV = _wav()
INFER = json.dumps(
    {
        "inputs": [{"name": "samples", "datatype": "FP32", "shape": [1, 2, 2], "data": [0] * 4}],
        "parameters": {"sequence_id": 3, "sequence_start": True},
    }
).encode()
QUERIES = [b"", b"model=hear", b"model=fuzz&format=csv", b"format=rttm&model=hear", b"model=%00"]
QUERIES += [
    b"model=hear&thresholds=%7B%22on%22%3A%7B%7D%7D",
    b"sample_rate=-5",
    b"limit=0",
    b"%ff=%ff",
]
# What to ask, how often relative to the others, with which body of which type.
ROUTES = [
    ("POST", "/v1/score", 4, MULTIPART, _form(WAV)),
    ("POST", "/v1/jobs", 1, MULTIPART, _form(WAV)),
    ("POST", "/v1/tokens", 4, JSON, b'{"model": "fuzz", "ttl_s": 5}'),
    ("POST", "/v1/sessions/state", 4, JSON, b'{"token": "gAAAAAB"}'),
    ("POST", "/v2/models/fuzz/infer", 6, JSON, INFER),
    ("GET", "/v1/jobs/0f8b/result", 1, "", b""),
    ("DELETE", "/v1/jobs/0f8b", 1, "", b""),
    ("GET", "/v1/jobs", 1, "", b""),
    ("GET", "/v1/models/fuzz", 1, "", b""),
    ("GET", "/v2/models/fuzz/config", 1, "", b""),
    ("POST", "/v2/repository/index", 1, JSON, b"{}"),
    ("GET", "/v1/sessions", 1, "", b""),
    ("PUT", "/v1/sessions/5/state", 1, JSON, b"{}"),
    ("POST", "/v1/models/reload", 1, "", b""),
]


# Of a form that breaks off, starlette leaves the last file to the garbage collector.
@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")
def test_requests(campaigns, app):
    weights = [weight for _, _, weight, _, _ in ROUTES]

    def make(chance):
        method, path, _, kind, body = chance.choices(ROUTES, weights)[0]
        if chance.random() < 0.1:
            method = chance.choice(("GET", "PUT", "PATCH", "POST", "HEAD"))
        if chance.random() < 0.1:
            path = campaigns.spoil(chance, path.encode()).decode("latin-1")
        if body and chance.random() < 0.8:
            body = campaigns.spoil(chance, body)
        query = chance.choice(QUERIES)
        if chance.random() < 0.2:
            query = campaigns.spoil(chance, query)
        headers = [(b"content-type", kind.encode())] if kind else []
        if chance.random() < 0.1:
            odd = (b"content-type", b"accept", b"content-encoding", b"authorization", b"origin")
            headers.append((chance.choice(odd), chance.randbytes(chance.randrange(12))))
        if chance.random() < 0.1:
            headers.append(
                (b"inference-header-content-length", str(chance.randrange(400)).encode())
            )
        return method, path, query, headers, body

    def check(given):
        method, path, query, headers, body = given
        status, kind, answer = app.call(method, path, query, headers, body)
        assert status in KNOWN, (status, answer)
        if status >= 400 and method != "HEAD":
            assert kind == JSON, (status, kind, answer)
            assert set(json.loads(answer)) == {"error"}, answer
        return str(status)

    campaigns.run("REST requests", 0.08, make, check)
    assert app.is_empty()
