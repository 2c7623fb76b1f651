"""Keys in their file, allowances, stream tokens and origins, without a server."""

from __future__ import annotations

import json

import pytest
from cryptography.fernet import Fernet

from surnn import InvalidConfig
from surnn_server import Settings
from surnn_server.access import required_scopes
from surnn_server.apikeys import KeyLimits, Scope, add_key, find_key, read_keys
from surnn_server.auth import Authenticator
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.origins import check_origin
from surnn_server.quotas import Quota
from surnn_server.serve import exposure
from surnn_server.stream_tokens import StreamTokens


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_a_secret_is_found_and_kept_nowhere(tmp_path):
    path = tmp_path / "keys.json"
    first = add_key(path, "app", [Scope.STREAM])
    second = add_key(path, "ops", [Scope.ADMIN], KeyLimits(max_sessions=3))
    assert first != second
    assert first not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    keys = read_keys(path)
    assert find_key(keys, second).limits.max_sessions == 3
    assert find_key(keys, first).name == "app"
    assert find_key(keys, first[:-1]) is None
    assert find_key(keys, "") is None
    assert find_key(keys, "ä\udc80" * 10) is None
    assert find_key(keys, first + "x" * 10_000) is None


def test_a_name_is_taken_once_and_has_plain_characters(tmp_path):
    path = tmp_path / "keys.json"
    add_key(path, "app", [Scope.STREAM])
    with pytest.raises(InvalidConfig, match="key 'app' exists already"):
        add_key(path, "app", [Scope.STREAM])
    with pytest.raises(InvalidConfig, match=r"name is '\.\./x'"):
        add_key(path, "../x", [Scope.STREAM])
    assert [key.name for key in read_keys(path)] == ["app"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nonsense", "Invalid JSON"),
        ('{"keys": [{"name": "a", "hash": "sha256:1", "scopes": ["stream"]}]}', "keys.0.hash"),
        (
            json.dumps({"keys": [{"name": "a", "hash": "sha256:" + "0" * 64, "scopes": ["all"]}]}),
            "keys.0.scopes",
        ),
        (
            json.dumps(
                {"keys": [{"name": "a", "hash": "sha256:" + "0" * 64, "scopes": ["stream"]}] * 2}
            ),
            "appear twice",
        ),
    ],
)
def test_a_damaged_file_is_refused_without_its_folder(tmp_path, content, message):
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(InvalidConfig, match=message) as caught:
        read_keys(path)
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(InvalidConfig, match=r"^keys file none.json cannot be read"):
        read_keys(tmp_path / "none.json")


def test_requests_refill_steadily():
    clock = Clock()
    quota = Quota(KeyLimits(requests_per_minute=2), clock)
    quota.request()
    quota.request()
    with pytest.raises(Refusal) as caught:
        quota.request()
    assert caught.value.code is ErrorCode.RATE_LIMITED
    assert caught.value.retry_after == pytest.approx(30, abs=0.1)
    clock.now += caught.value.retry_after
    quota.request()
    with pytest.raises(Refusal):
        quota.request()


def test_audio_may_overdraw_once_whatever_its_pieces():
    clock = Clock()
    quota = Quota(KeyLimits(audio_seconds_per_hour=3600), clock)
    quota.audio(5000)
    with pytest.raises(Refusal) as caught:
        quota.audio(0)
    assert caught.value.code is ErrorCode.QUOTA_EXCEEDED
    assert caught.value.retry_after == pytest.approx(1400, abs=1)
    quota.spend(100)
    clock.now += 1400
    with pytest.raises(Refusal):
        quota.audio(0)
    clock.now += 101
    quota.audio(0)


def test_sessions_of_a_key_are_counted():
    quota = Quota(KeyLimits(max_sessions=1))
    quota.enter()
    with pytest.raises(Refusal, match="1 sessions of this key run, expected at most 1"):
        quota.enter()
    quota.leave()
    quota.enter()


def test_no_limit_is_no_limit():
    quota = Quota(KeyLimits())
    for _ in range(1000):
        quota.request()
        quota.audio(1e6)
        quota.enter()


def test_a_token_is_good_until_it_expires_and_only_as_it_was_made():
    clock = Clock()
    tokens = StreamTokens(clock=clock)
    token = tokens.make("app", "vad", 60)
    grant = tokens.read(token)
    assert (grant.key, grant.model) == ("app", "vad")
    for bit in range(8 * len(token)):
        at, flipped = bit // 8, chr(ord(token[bit // 8]) ^ 1 << bit % 8)
        changed = token[:at] + flipped + token[at + 1 :]
        with pytest.raises(Refusal) as caught:
            tokens.read(changed)
        assert caught.value.code is ErrorCode.UNAUTHORISED
    for bad in ("", "x", "ü" * 20, "\udc80", "A" * 5000):
        with pytest.raises(Refusal):
            tokens.read(bad)
    with pytest.raises(Refusal):
        StreamTokens(clock=clock).read(token)
    clock.now += 60
    with pytest.raises(Refusal, match="stream token expired"):
        tokens.read(token)


def test_token_keys_can_be_changed():
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    token = StreamTokens([old]).make("app", None, 60)
    assert StreamTokens([new, old]).read(token).key == "app"
    with pytest.raises(InvalidConfig, match="token key"):
        StreamTokens(["short"])


def test_a_revoked_key_is_refused_soon_and_a_damaged_file_changes_nothing(tmp_path):
    path, clock = tmp_path / "keys.json", Clock()
    secret = add_key(path, "app", [Scope.STREAM])
    known = Authenticator(Settings(api_keys_file=str(path)), clock)
    token = known.tokens.make("app", None, 60)
    assert known.identify(f"Bearer {secret}", None).name == "app"
    path.write_text("{")
    clock.now += 10
    assert known.identify(None, secret).name == "app"
    assert known.identify_token(token).name == "app"
    path.write_text('{"keys": []}')
    clock.now += 10
    with pytest.raises(Refusal, match="API key is not known"):
        known.identify(None, secret)
    with pytest.raises(Refusal, match="the token's API key is gone"):
        known.identify_token(token)


def test_strangers_do_not_run_an_open_server():
    assert Scope.ADMIN in Authenticator(Settings()).identify(None, None).scopes
    public = Authenticator(Settings(host="0.0.0.0")).identify(None, None)
    assert public.scopes == {Scope.STREAM, Scope.SCORE, Scope.METRICS}


def test_an_open_public_server_is_warned_about():
    assert exposure(Settings()) == []
    assert exposure(Settings(host="::1")) == []
    (open_,) = exposure(Settings(host="0.0.0.0"))
    assert open_.startswith("OPEN TO ANYONE: listening on 0.0.0.0 without API keys")
    (plain,) = exposure(Settings(host="10.0.0.1", api_keys_file="keys.json"))
    assert "without TLS" in plain
    assert exposure(Settings(host="10.0.0.1", api_keys_file="k", ssl_certfile="c")) == []


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "local", "passes"),
    [
        (None, "localhost:8000", (), True, True),
        ("http://localhost:8000", "localhost:8000", (), True, True),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", (), True, True),
        ("http://[::1]:8000", "[::1]:8000", (), True, True),
        ("https://app.example", "app.example", (), False, True),
        ("http://APP.example", "app.EXAMPLE", (), False, True),
        ("https://app.example:8443", "app.example", (), False, False),
        ("http://evil.example", "localhost:8000", (), True, False),
        ("http://localhost:3000", "localhost:8000", (), True, False),
        ("http://evil.example:8000", "evil.example:8000", (), True, False),
        ("null", "localhost:8000", (), True, False),
        ("http://[broken", "localhost:8000", (), True, False),
        ("http://x:99999", "x:99999", (), False, False),
        ("http://x", None, (), False, False),
        ("https://page.example", "api.example", ("https://page.example/",), False, True),
        ("https://page.example.evil", "api.example", ("https://page.example",), False, False),
        ("https://any.example", "api.example", ("*",), False, True),
    ],
)
def test_pages_of_other_hosts_are_refused(origin, host, allowed, local, passes):
    if passes:
        check_origin(origin, host, allowed, local=local)
    else:
        with pytest.raises(Refusal) as caught:
            check_origin(origin, host, allowed, local=local)
        assert caught.value.code is ErrorCode.ORIGIN_REFUSED


def test_what_is_not_named_needs_a_key():
    assert required_scopes("/healthz") == ()
    assert required_scopes("/v1/models/reload") == (Scope.ADMIN,)
    assert required_scopes("/v1/sessions/1/state") == (Scope.ADMIN,)
    assert required_scopes("/v1/streams") == tuple(Scope)
    assert required_scopes("/anything") == tuple(Scope)
    assert required_scopes("/healthz/x") == tuple(Scope)
