"""`/v1/sessions`: reading and checking the state of streams, with the admin key only."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from surnn_server.apikeys import Scope, add_key
from surnn_server.tokens import new_key


@pytest.fixture(scope="module")
def admin_server(run_server):
    with run_server(state_keys=new_key()) as server:
        yield server


@pytest.fixture
def http(admin_server):
    with httpx.Client(base_url=admin_server.url) as client:
        yield client


@pytest.fixture
def live(admin_server, call):
    """Runs a function in a thread beside an open stream of 0.1 s."""

    def run(function, **options):
        async def go():
            async with call(admin_server) as client:
                ready = await client.start(**options)
                await client.send(bytes(3300))
                await client.say(type="marker", id="x")
                while (await client.hear())["type"] != "marker":
                    pass
                return await asyncio.to_thread(function, ready["session"])

        return asyncio.run(go())

    return run


def test_only_an_admin_comes_in(run_server, tmp_path):
    path = tmp_path / "keys.json"
    secrets = {scope: add_key(path, scope.value, [scope]) for scope in (Scope.STREAM, Scope.ADMIN)}
    with run_server(api_keys_file=str(path)) as server:
        for method, route in (("GET", ""), ("GET", "/x/state"), ("POST", "/state")):
            url = f"{server.url}/v1/sessions{route}"
            assert httpx.request(method, url).status_code == 401
            for scope, refused in ((Scope.STREAM, True), (Scope.ADMIN, False)):
                headers = {"X-API-Key": secrets[scope]}
                status = httpx.request(method, url, headers=headers).status_code
                assert (status == 403) is refused


def test_streams_are_listed(http, live):
    def look(session):
        return session, http.get("/v1/sessions").json()

    session, body = live(look)
    (found,) = body["sessions"]
    assert found == {
        "session": session,
        "key": "",
        "model": "fake",
        "seconds": 0.1,
        "position": 1650,
    }


def test_a_state_moves_to_a_server_with_another_key(http, live, run_server, call):
    def look(session):
        path = f"/v1/sessions/{session}/state"
        raw = http.get(path, headers={"Accept": "application/octet-stream"})
        assert raw.headers["content-type"] == "application/octet-stream"
        return http.get(path).json(), raw.content

    described, raw = live(look)
    assert (described["model"], described["position"], described["frames"]) == ("fake", 1650, 10)

    async def go(server, token):
        async with call(server) as client:
            return await client.start(resume=token)

    with run_server() as other:
        url = f"{other.url}/v1/sessions/state"
        foreign = httpx.post(url, json={"token": described["token"]})
        assert (foreign.status_code, foreign.json()["error"]["code"]) == (422, "invalid_token")
        kind = {"Content-Type": "application/octet-stream"}
        taken = httpx.post(url, content=raw, headers=kind)
        assert taken.status_code == 200
        assert taken.json() | {"token": ""} == described | {"token": ""}
        ready = asyncio.run(go(other, taken.json()["token"]))
        assert (ready["resumed"], ready["position"]) == (True, 1650)


def test_a_token_can_be_checked(http, live):
    def look(session):
        return http.get(f"/v1/sessions/{session}/state").json()

    described = live(look)
    answer = http.post("/v1/sessions/state", json={"token": described["token"]})
    assert answer.json() | {"token": ""} == described | {"token": ""}


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{}", "application/json", 422, "invalid_request"),
        (b'{"token": "x"}', "application/json", 422, "invalid_token"),
        (b"surnn", "application/octet-stream", 422, "invalid_token"),
        (bytes(2 << 20), "application/octet-stream", 413, "upload_too_big"),
    ],
)
def test_what_is_no_state_is_refused(http, content, kind, status, code):
    answer = http.post("/v1/sessions/state", content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_session_that_is_not_there(http):
    answer = http.get("/v1/sessions/nobody/state")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "no session 'nobody', see /v1/sessions"
