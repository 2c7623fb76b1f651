"""One answer from those of all members."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from surnn_server.cluster.merging import merge_metrics, merge_reloads, merge_statistics
from surnn_server.metrics import Metrics


def page(latencies, sessions, admitting, wait):
    metrics = Metrics()
    metrics.latency.labels("a model").observe(latencies)
    metrics.active.labels("a model").set(sessions)
    metrics.started.labels("a model").inc(sessions)
    metrics.admitting.labels("a model").set(admitting)
    metrics.turn_wait.labels("a model").set(wait)
    metrics.capacity.labels("a model").set(100)
    return metrics.render().decode()


def samples(text):
    return {
        (sample.name, sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_are_added_up():
    one, other = page([0.001, 0.2], 3, 1.0, 0.5), page([0.2], 4, 0.0, 0.75)
    merged = merge_metrics([one, other])
    found = samples(merged)
    assert found["surnn_latency_seconds_count", None] == 3
    assert found["surnn_latency_seconds_bucket", "0.1"] == 1
    assert found["surnn_latency_seconds_bucket", "+Inf"] == 3
    assert found["surnn_latency_seconds_sum", None] == 0.401
    assert found["surnn_sessions_active", None] == 7
    assert found["surnn_sessions_started_total", None] == 7
    assert found["surnn_admitting", None] == 1
    assert found["surnn_turn_wait_seconds", None] == 0.75
    assert found["surnn_slots", None] == 100
    created = ("surnn_sessions_started_created", None)
    assert found[created] == min(samples(one)[created], samples(other)[created])
    assert merge_metrics([one]) == one


def test_a_metric_that_only_one_member_has_stays():
    extra = page([], 0, 1.0, 0.0) + 'surnn_new{model="x y"} 2.0\n'
    assert 'surnn_new{model="x y"} 2.0' in merge_metrics([page([], 0, 1.0, 0.0), extra])


def test_reloads_and_statistics():
    one, other = {"loaded": {"a": "2"}, "refused": {}}, {"loaded": {}, "refused": {"b": "why"}}
    assert merge_reloads([one, other]) == {"loaded": {"a": "2"}, "refused": {"b": "why"}}
    record = {
        "name": "a",
        "version": "1",
        "last_inference": 5,
        "inference_count": 2,
        "inference_stats": {"success": {"count": 2, "ns": 10}},
        "batch_stats": [],
    }
    newer = {"model_stats": [record | {"last_inference": 9}]}
    (total,) = merge_statistics([{"model_stats": [record]}, newer])["model_stats"]
    assert total == record | {
        "last_inference": 9,
        "inference_count": 4,
        "inference_stats": {"success": {"count": 4, "ns": 20}},
    }
