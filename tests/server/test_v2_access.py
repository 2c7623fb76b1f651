"""Sequences belong to the API key that made them, and count against its limits."""

from __future__ import annotations

import httpx
import pytest

from surnn_server.apikeys import KeyLimits, Scope, add_key

LIMITS = {
    "ann": KeyLimits(),
    "ben": KeyLimits(),
    "one": KeyLimits(max_sessions=1),
    "short": KeyLimits(audio_seconds_per_hour=1),
    "few": KeyLimits(requests_per_minute=2),
}


@pytest.fixture(scope="module")
def of(run_server, tmp_path_factory):
    """Requests of each key, by its name, to one server."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    secrets = {name: add_key(path, name, [Scope.STREAM], limits) for name, limits in LIMITS.items()}
    with run_server(api_keys_file=str(path)) as server, httpx.Client(base_url=server.url) as http:

        def post(name, seconds, id=0, **parameters):
            samples = [0.9] * round(16000 * seconds)
            tensor = {"name": "audio", "datatype": "FP32", "shape": [len(samples)], "data": samples}
            body = {"inputs": [tensor], "parameters": {"sequence_id": id, **parameters}}
            headers = {"Authorization": f"Bearer {secrets[name]}"}
            return http.post("/v2/models/fake/infer", json=body, headers=headers)

        yield post
        server.wait_until_empty()


def probs(response):
    return response.json()["outputs"][0]["data"]


def test_two_keys_may_call_their_sequences_the_same(of):
    first = of("ann", 0.05, 5, sequence_start=True)
    stranger = of("ben", 0.05, 5)
    # Just what one hears of a sequence that never was.
    assert stranger.status_code == 400
    assert stranger.json()["error"] == of("ben", 0.05, 6).json()["error"].replace("6", "5")
    again = of("ben", 0.05, 5, sequence_start=True)
    assert probs(again) == probs(first)
    assert probs(of("ann", 0.05, 5, sequence_end=True)) == probs(
        of("ben", 0.05, 5, sequence_end=True)
    )


def test_sequences_count_as_sessions(of):
    assert of("one", 0.05, 5, sequence_start=True).status_code == 200
    for id, flags in ((6, {"sequence_start": True}), (0, {})):
        refused = of("one", 0.05, id, **flags)
        assert refused.status_code == 429
        assert refused.json()["error"] == "1 sessions of this key run, expected at most 1"
    assert of("one", 0.05, 5, sequence_end=True).status_code == 200
    assert of("one", 0.05).status_code == 200


def test_samples_count_as_audio_and_a_refusal_takes_nothing(of):
    assert of("short", 1.2, 5, sequence_start=True).status_code == 200
    for _ in range(2):
        refused = of("short", 0.5, 5)
        assert refused.status_code == 429
        assert refused.json()["error"].startswith("more than 1 seconds of audio in an hour")
        assert int(refused.headers["retry-after"]) > 600
    assert of("short", 0.0, 5, sequence_end=True).status_code == 200
    assert of("short", 0.1).status_code == 429


def test_requests_are_counted(of):
    assert [of("few", 0.01).status_code for _ in range(3)] == [200, 200, 429]


def test_whole_signals_may_last_only_so_long(run_server):
    with run_server(max_file_seconds=0.1) as server, httpx.Client(base_url=server.url) as http:

        def post(count, **parameters):
            tensor = {"name": "audio", "datatype": "FP32", "shape": [count], "data": [0.5] * count}
            body = {"inputs": [tensor], "parameters": parameters}
            return http.post("/v2/models/fake/infer", json=body)

        assert post(1600).status_code == 200
        refused = post(1760)
        assert refused.status_code == 413
        assert refused.json()["error"] == (
            "the signal lasts 0.11 s, expected at most 0.1 s, or a sequence"
        )
        flags = {"sequence_id": 1, "sequence_start": True, "sequence_end": True}
        assert post(1760, **flags).status_code == 200
        server.wait_until_empty()
