"""Many values at once, and prometheus_client's one by one: the same page."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from surnn_server.histograms import BatchHistogram

BOUNDS = (0.0, 0.1, 0.25, 1.0)


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.05, 0.1, 0.1000001, 0.25, 0.5, 1.0, 2.0])))
def test_pages_are_equal(values: list[float]) -> None:
    registries = CollectorRegistry(), CollectorRegistry()
    theirs = Histogram("x", "About x", ["model"], buckets=BOUNDS, registry=registries[0])
    ours = BatchHistogram("x", "About x", ["model"], BOUNDS, registries[1])
    for value in values:
        theirs.labels("a").observe(value)
    theirs.labels("b").observe(0.3)
    ours.labels("a").observe(values)
    ours.labels("b").observe([0.3])
    theirs.labels("a")
    pages = [generate_latest(r).decode().splitlines() for r in registries]
    plain = [[line for line in page if "_created" not in line] for page in pages]
    assert sorted(plain[0]) == sorted(plain[1])
