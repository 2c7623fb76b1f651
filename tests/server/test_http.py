"""Models, health, metrics, errors and OpenAPI over HTTP."""

from __future__ import annotations

import asyncio

import httpx
import pytest


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url) as client:
        yield client


def test_models_are_listed(http):
    body = http.get("/v1/models").json()
    assert [model["name"] for model in body["models"]] == ["fake", "sense"]
    assert body["models"][0] == {
        "name": "fake",
        "version": "1",
        "kind": "audio",
        "description": "",
        "labels": ["speech"],
        "sample_rate": 16000,
        "hop": 160,
        "channels": 1,
        "layers": [4],
        "cells": ["sugru"],
        "licence": "",
        "state_bytes": 8 + 4 * 240 + 4 * 4,
    }


def test_a_model_tells_everything(http):
    body = http.get("/v1/models/sense").json()
    assert body["runtime"] == "fake"
    assert body["spec"]["labels"] == ["still", "walk"]
    assert body["spec"]["frontend"]["type"] == "scale"


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "message"),
    [
        ("GET", "/v1/models/x", 404, "unknown_model", "no model 'x', expected one of ['fake', 's"),
        ("GET", "/nothing", 404, "not_found", "no resource '/nothing'"),
        ("GET", "/v1/score", 405, "method_not_allowed", "method GET is not allowed"),
        ("GET", "/v1/stream", 404, "not_found", "no resource '/v1/stream'"),
    ],
)
def test_errors_have_one_shape(http, method, path, status, code, message):
    response = http.request(method, path)
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert response.json()["error"]["code"] == code
    assert response.json()["error"]["message"].startswith(message)


def test_health_and_readiness(http):
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {
        "status": "ready",
        "models": ["fake", "sense"],
        "sessions": 0,
        "max_sessions": 1024,
        "degraded": [],
    }


def test_a_server_that_drains_is_not_ready(run_server):
    with run_server() as server:
        server.service.state = type(server.service.state).DRAINING
        response = httpx.get(f"{server.url}/readyz")
        assert response.status_code == 503
        assert response.headers["retry-after"] == "5"
        assert response.json()["error"] == {
            "code": "draining",
            "message": "the server is draining",
        }


def test_a_server_whose_worker_died_is_not_ready(run_server):
    with run_server() as server:
        worker = server.service.workers["fake"]
        asyncio.run(worker.stop())
        response = httpx.get(f"{server.url}/readyz")
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "internal"


def test_metrics_count_what_happened(run_server, stream_all, make_pcm):
    with run_server() as server:
        asyncio.run(stream_all(server, make_pcm(1)))
        server.wait_until_empty()
        page = httpx.get(f"{server.url}/metrics")
        assert page.headers["content-type"].startswith("text/plain")
        fake = {"model": "fake"}
        assert server.metric("surnn_sessions_started_total", **fake) == 1
        assert server.metric("surnn_sessions_ended_total", reason="end", **fake) == 1
        assert server.metric("surnn_sessions_active", **fake) == 0
        assert server.metric("surnn_slots_used", **fake) == 0
        assert server.metric("surnn_slots", **fake) == 1024
        assert server.metric("surnn_frames_total", **fake) == 100
        done = server.metric("surnn_updates_done_total", **fake)
        assert done + server.metric("surnn_updates_skipped_total", **fake) == 400
        written = server.metric("surnn_state_bytes_total", switch="open", **fake)
        left = server.metric("surnn_state_bytes_total", switch="closed", **fake)
        assert (written, written + left) == (4 * done, 1600)
        results = server.metric("surnn_queue_seconds_count", **fake)
        assert server.metric("surnn_latency_seconds_count", **fake) == results
        assert server.metric("surnn_open_rate_count", layer="0", **fake) == results
        assert server.metric("surnn_model_info", version="1", cells="sugru", **fake) == 1
        assert server.metric("surnn_batch_size_sum", **fake) == results
        assert 'surnn_sessions_ended_total{model="fake",reason="end"} 1.0' in page.text


def test_messages_repeat_only_so_much_of_what_was_sent(server, call):
    flood = "x" * 100_000

    async def go():
        async with call(server) as client:
            await client.say(type="start", model="fake", thresholds={flood: {"on": 0.5}})
            return await client.hear_all()

    heard = asyncio.run(go())
    assert heard.error["code"] == "invalid_config"
    assert 500 < len(heard.error["message"]) < 1010
    (told,) = {
        len(httpx.post(f"{server.url}{path}", json={"model": flood}).text) < 1200
        for path in ("/v1/tokens", f"/v1/{flood[:9000]}", f"/v2/{flood[:9000]}")
    }
    assert told


def test_openapi_describes_every_route_with_examples_and_errors(http):
    api = http.get("/openapi.json").json()
    assert set(api["paths"]) == {
        "/v1/score",
        "/v1/jobs",
        "/v1/jobs/{id}",
        "/v1/jobs/{id}/events",
        "/v1/jobs/{id}/result",
        "/v1/tokens",
        "/v1/models",
        "/v1/models/{name}",
        "/v1/sessions",
        "/v1/sessions/{session}/state",
        "/v1/sessions/state",
        "/v1/models/reload",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    score = api["paths"]["/v1/score"]["post"]
    assert set(score["responses"]) == {"200", "404", "406", "413", "422", "500", "503", "507"}
    assert set(score["responses"]["200"]["content"]) == {
        "application/json",
        "application/x-ndjson",
        "text/csv",
        "text/x-rttm",
        "text/x-audacity-labels",
        "text/vtt",
    }
    assert "multipart/form-data" in score["requestBody"]["content"]
    for path in api["paths"].values():
        for operation in path.values():
            assert operation["summary"]
            assert operation["description"]
            for status, response in operation["responses"].items():
                if status >= "400":
                    (content,) = response["content"].values()
                    assert content["schema"]["$ref"].endswith("/ErrorBody")
                    assert content["examples"]
    assert "HTTPValidationError" not in api["components"]["schemas"]
