"""Counters that never fall, whoever dies."""

from __future__ import annotations

import itertools

import pytest
from prometheus_client.parser import text_string_to_metric_families

from surnn_server.cluster.merging import counters
from surnn_server.cluster.scrapes import Scrapes
from surnn_server.metrics import Metrics

BIRTHS = itertools.count(1000)


class Member:
    """What one process counts."""

    def __init__(self):
        self.metrics = Metrics()
        self.metrics.start_time.set(next(BIRTHS))

    def page(self, started=0, active=0):
        self.metrics.started.labels("m").inc(started)
        self.metrics.latency.labels("m").observe([0.2] * started)
        self.metrics.active.labels("m").set(active)
        return self.metrics.render().decode()


@pytest.fixture
def scrapes(tmp_path):
    """By its number, those of a member, each as another process would have it."""
    return [Scrapes(tmp_path) for _ in range(2)]


def seen(text):
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("le") in (None, "+Inf")
    }
    assert found["surnn_latency_seconds_count"] == found["surnn_sessions_started_total"]
    assert found["surnn_latency_seconds_bucket"] == found["surnn_sessions_started_total"]
    return found["surnn_sessions_started_total"], found["surnn_sessions_active"]


def test_what_the_dead_had_counted_stays(scrapes):
    one, other = Member(), Member()
    assert seen(scrapes[0].joined({0: one.page(3, 2), 1: other.page(5, 4)})) == (8, 6)
    # Killed: it says nothing, and its sessions are gone.
    assert seen(scrapes[0].joined({0: one.page(1, 2)})) == (9, 2)
    for round in range(3):
        another = Member()  # replaces it, again and again
        text = scrapes[round % 2].joined({0: one.page(0, 2), 1: another.page(1, 1)})
        assert seen(text) == (10 + round, 3)
    assert seen(scrapes[1].joined({1: another.page(0, 1)})) == (12, 1)


def test_a_page_that_was_overtaken_counts_once(scrapes):
    first, second = Member(), Member()
    early = first.page(3, 3)
    late = first.page(1, 4)
    assert seen(scrapes[0].joined({0: late})) == (4, 4)
    assert seen(scrapes[1].joined({0: second.page(2, 1)})) == (6, 1)
    # Asked before that one was replaced, joined after.
    assert seen(scrapes[0].joined({0: early})) == (6, 1)


def test_processes_add_up_and_the_oldest_counts(scrapes):
    one, other = Member(), Member()
    lines = scrapes[0].joined({0: one.page(), 1: other.page()}).splitlines()
    assert "surnn_processes 2.0" in lines
    (birth,) = [line for line in lines if line.startswith("surnn_start_time_seconds ")]
    assert birth in one.page()


def test_counters_of_a_page():
    page = Member().page(2, 1)
    kept = counters(page)
    names = {family.name for family in text_string_to_metric_families(kept)}
    assert {"surnn_sessions_started", "surnn_latency_seconds"} <= names
    assert names.isdisjoint({"surnn_sessions_active", "surnn_sessions_started_created"})
    assert counters(kept) == kept
    assert counters("") == ""
