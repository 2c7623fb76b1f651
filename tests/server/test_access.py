"""Keys, tokens, origins and limits of a server that runs."""

from __future__ import annotations

import asyncio
import io

import httpx
import numpy as np
import pytest
import soundfile

from surnn.errors import InvalidConfig
from surnn_client import Client, NotAllowed, ServerBusy, connect
from surnn_server import Settings, run
from surnn_server.apikeys import KeyLimits, Scope, add_key


@pytest.fixture(scope="module")
def secured(run_server, tmp_path_factory):
    """A server with keys, and the secrets by name."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    limits = {
        "few": KeyLimits(requests_per_minute=2),
        "one": KeyLimits(max_sessions=1),
        "short": KeyLimits(audio_seconds_per_hour=1),
    }
    scopes = {
        "stream": [Scope.STREAM],
        "score": [Scope.SCORE],
        "ops": [Scope.METRICS],
        "admin": [Scope.ADMIN],
        "few": [Scope.STREAM],
        "one": [Scope.STREAM],
        "short": [Scope.STREAM, Scope.SCORE],
    }
    secrets = {name: add_key(path, name, s, limits.get(name)) for name, s in scopes.items()}
    with run_server(api_keys_file=str(path)) as server:
        yield server, secrets


def _bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def _wav(seconds):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(int(16000 * seconds), np.int16), 16000, format="WAV")
    return file.getvalue()


def _hear(call, server, query="", start=True, **options):
    async def go():
        server.ws_url, url = server.ws_url + query, server.ws_url
        try:
            async with call(server, **options) as client:
                if start:
                    await client.say(type="start", model="fake")
                    await client.say(type="end")
                return await client.hear_all()
        finally:
            server.ws_url = url

    return asyncio.run(go())


def test_without_a_key_only_the_probes_answer(secured, call):
    server, _ = secured
    with httpx.Client(base_url=server.url) as http:
        assert http.get("/healthz").status_code == 200
        assert http.get("/readyz").status_code == 200
        for method, path in [
            ("GET", "/v1/models"),
            ("POST", "/v1/score"),
            ("POST", "/v1/tokens"),
            ("GET", "/metrics"),
            ("GET", "/nothing"),
            ("GET", "/docs"),
            ("GET", "/redoc"),
            ("GET", "/openapi.json"),
            ("GET", "/v1/jobs"),
            ("GET", "/v1/sessions"),
            ("PUT", "/v1/sessions/x/state"),
            ("GET", "/v2"),
            ("POST", "/v2/models/fake/infer"),
        ]:
            response = http.request(method, path)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            error = response.json()["error"]
            assert path.startswith("/v2") or error["code"] == "unauthorised"
        wrong = http.get("/v1/models", headers=_bearer("surnn_wrong"))
        assert wrong.json()["error"]["message"].startswith("API key is not known, expected")
        basic = http.get("/v1/models", headers={"Authorization": "Basic eDp5"})
        assert basic.status_code == 401
    heard = _hear(call, server, start=False)
    assert heard.code == 4001
    assert heard.error["code"] == "unauthorised"
    assert server.metric("surnn_sessions_rejected_total", code="unauthorised") == 1


def test_strangers_learn_only_whether_a_server_with_keys_is_ready(secured):
    server, keys = secured
    url = f"{server.url}/readyz"
    assert httpx.get(url).json() == {"status": "ready"}
    known = httpx.get(url, headers=_bearer(keys["score"])).json()
    assert known["models"] == ["fake", "sense"]
    with Client(server.url) as client:
        assert (client.health().status, client.health().models) == ("ready", ())


def test_an_open_server_answers_to_names_of_its_own_machine_only(run_server, server):
    """A page whose name was made to lead here (DNS rebinding) sends no origin with a GET."""
    url = f"{server.url}/v1/sessions"
    port = server.url.rsplit(":", 1)[1]
    for host in ("localhost", f"localhost:{port}", f"[::1]:{port}", "127.0.0.2"):
        assert httpx.get(url, headers={"Host": host}).status_code == 200
    for host in ("evil.example", f"evil.example:{port}", "", "127.0.0.1.evil.example", "a b"):
        refused = httpx.get(url, headers={"Host": host})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "origin_refused")
    with run_server(allowed_origins="https://surnn.example") as other:
        url = f"{other.url}/v1/sessions"
        assert httpx.get(url, headers={"Host": "surnn.example"}).status_code == 200
        assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 403


def test_a_server_with_keys_answers_to_any_name(secured):
    server, keys = secured
    headers = _bearer(keys["score"]) | {"Host": "surnn.example"}
    assert httpx.get(f"{server.url}/v1/models", headers=headers).status_code == 200


def test_a_key_opens_what_its_scope_names(secured, call):
    server, keys = secured
    with httpx.Client(base_url=server.url) as http:
        assert http.get("/metrics", headers={"X-API-Key": keys["ops"]}).status_code == 200
        assert http.get("/v1/models", headers=_bearer(keys["score"])).status_code == 200
        refused = http.get("/metrics", headers=_bearer(keys["score"]))
        assert refused.status_code == 403
        assert refused.json()["error"] == {
            "code": "forbidden",
            "message": "scopes are ['score'], expected 'metrics' or 'admin'",
        }
        files = {"files": ("a.wav", _wav(0.1))}
        assert http.post("/v1/score?model=fake", files=files).status_code == 401
        scored = http.post("/v1/score?model=fake", files=files, headers=_bearer(keys["score"]))
        assert scored.status_code == 200
    heard = _hear(call, server, additional_headers=_bearer(keys["stream"]))
    assert heard.code == 1000
    heard = _hear(call, server, start=False, additional_headers=_bearer(keys["score"]))
    assert heard.code == 1008
    assert heard.error["code"] == "forbidden"


def test_a_token_opens_a_stream_without_a_key(secured, call):
    server, keys = secured
    with httpx.Client(base_url=server.url, headers=_bearer(keys["stream"])) as http:
        answer = http.post("/v1/tokens", json={"model": "fake", "ttl_s": 30}).json()
        assert answer["expires_in_s"] == 30
        other = http.post("/v1/tokens", json={"model": "sense"}).json()
        assert other["expires_in_s"] == 60
        assert http.post("/v1/tokens").status_code == 200
        assert http.post("/v1/tokens", json={"model": "x"}).status_code == 404
        assert http.post("/v1/tokens", json={"ttl": 1}).status_code == 422
    assert _hear(call, server, f"?token={answer['token']}").code == 1000
    heard = _hear(call, server, f"?token={other['token']}")
    assert heard.code == 1008
    assert heard.error["message"] == "model is 'fake', expected 'sense' of the token"
    assert _hear(call, server, "?token=nonsense", start=False).code == 4001
    assert httpx.get(f"{server.url}/v1/models?token={answer['token']}").status_code == 401


def test_a_key_has_limits(secured, call):
    server, keys = secured
    with httpx.Client(base_url=server.url, headers=_bearer(keys["few"])) as http:
        assert [http.get("/v1/models").status_code for _ in range(3)] == [200, 200, 429]
        late = http.get("/v1/models")
        assert late.json()["error"]["code"] == "rate_limited"
        assert 1 <= int(late.headers["retry-after"]) <= 30
    heard = _hear(call, server, start=False, additional_headers=_bearer(keys["few"]))
    assert heard.code == 1013
    assert heard.error["retryable"] is True
    assert 0 < heard.error["retry_after_s"] <= 30


def test_a_key_has_so_many_sessions(secured, call):
    server, keys = secured

    async def go():
        headers = _bearer(keys["one"])
        async with (
            call(server, additional_headers=headers) as a,
            call(server, additional_headers=headers) as b,
        ):
            await a.start()
            await b.say(type="start", model="fake")
            refused = await b.hear_all()
            await a.say(type="end")
            await a.hear_all()
        async with call(server, additional_headers=headers) as c:
            await c.say(type="start", model="nix")
            await c.hear_all()
        async with call(server, additional_headers=headers) as d:
            await d.start()
        return refused

    refused = asyncio.run(go())
    assert refused.code == 1013
    assert refused.error["code"] == "quota_exceeded"
    server.wait_until_empty()


def test_a_key_has_so_much_audio(secured, call):
    server, keys = secured

    async def go():
        async with call(server, additional_headers=_bearer(keys["short"])) as client:
            await client.start(checkpoint_interval_s=0)
            await client.send(bytes(3200))
            await client.say(type="marker", id="computed")
            while (await client.hear())["type"] != "marker":
                pass
            for _ in range(14):
                await client.send(bytes(3200))
            return await client.hear_all()

    async def go_on(token):
        async with call(server, additional_headers=_bearer(keys["stream"])) as client:
            await client.say(type="start", resume=token)
            return await client.hear()

    heard = asyncio.run(go())
    assert heard.code == 1013
    error = heard.error
    assert (error["code"], error["retryable"]) == ("quota_exceeded", True)
    # Once there is audio again, here from another key, the stream goes on.
    assert 0 < error["position"] < 15 * 1600
    assert error["position"] % 1600 == 0
    assert error["retry_after_s"] > 0
    ready = asyncio.run(go_on(error["token"]))
    assert (ready["resumed"], ready["position"]) == (True, error["position"])
    response = httpx.post(
        f"{server.url}/v1/score?model=fake",
        files={"files": ("a.wav", _wav(0.1))},
        headers=_bearer(keys["short"]),
    )
    assert response.status_code == 429


def test_pages_of_other_hosts_may_not_stream(server, call):
    heard = _hear(call, server, start=False, origin="http://evil.example")
    assert heard.code == 1008
    assert heard.error["code"] == "origin_refused"
    assert _hear(call, server, origin=server.url).code == 1000
    posted = httpx.post(f"{server.url}/v1/tokens", headers={"Origin": "http://evil.example"})
    assert posted.status_code == 403
    assert httpx.get(f"{server.url}/healthz", headers={"Origin": "http://x"}).status_code == 200


def test_the_clients_send_a_key(secured, monkeypatch):
    server, keys = secured
    with connect(server.url, model="fake", api_key=keys["stream"]) as stream:
        assert stream.end().seconds == 0
    with pytest.raises(NotAllowed) as caught, connect(server.url, model="fake"):
        pass
    assert caught.value.code == "unauthorised"
    assert caught.value.close_code == 4001
    with Client(server.url) as client, pytest.raises(NotAllowed):
        client.models()
    monkeypatch.setenv("SURNN_API_KEY", keys["few"])
    with Client(server.url) as client, pytest.raises(ServerBusy):
        client.models()
    monkeypatch.setenv("SURNN_API_KEY", keys["stream"])
    with Client(server.url) as client:
        assert len(client.models()) == 2


def test_a_folder_for_jobs_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidConfig, match=r"data_dir is .*file/jobs' \(Not a directory\)"):
        run(Settings(data_dir=str(tmp_path / "file" / "jobs")))


def test_files_that_are_too_long_are_refused_by_header_or_by_what_is_read(run_server):
    with run_server(max_file_seconds=2) as server:

        def post(name, data, model="fake"):
            response = httpx.post(
                f"{server.url}/v1/score?model={model}", files={"files": (name, data)}
            )
            return response.status_code, response.json()

        assert post("a.wav", _wav(2))[0] == 200
        status, body = post("a.wav", _wav(3))
        assert (status, body["error"]["code"]) == (413, "audio_too_long")
        assert body["error"]["message"] == (
            "a.wav lasts 3 s or more at 16000 Hz and 1 channels, expected at most 2 s"
        )
        assert post("a.csv", b"1,2,3\n" * 200, "sense")[0] == 413
        wide = io.BytesIO()
        soundfile.write(wide, np.zeros((96_000, 8), np.int16), 96_000, format="WAV")
        assert post("wide.wav", wide.getvalue())[0] == 413


def test_refusals_under_v2_have_the_shape_of_its_protocol(secured):
    server, _ = secured
    response = httpx.get(f"{server.url}/v2/models/fake")
    assert response.status_code == 401
    assert isinstance(response.json()["error"], str)
    assert response.headers["www-authenticate"] == "Bearer"
