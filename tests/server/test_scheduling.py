"""Whose turn it is, and when there is no room for more."""

from __future__ import annotations

import pytest

from surnn_server.scheduling import LoadGate, Priority, RunQueue


def test_the_earliest_deadline_comes_first():
    queue = RunQueue()
    queue.push("low", Priority.LOW, 0.0)
    queue.push("normal", Priority.NORMAL, 0.01)
    queue.push("high", Priority.HIGH, 0.02)
    queue.push("second", Priority.HIGH, 0.02)
    assert queue.take(3) == (["high", "second", "normal"], 0.01)
    assert queue.take(3) == (["low"], 0.0)
    assert queue.take(3)[0] == []


def test_no_priority_starves_another():
    queue, now, served = RunQueue(), 0.0, {}
    queue.push("low", Priority.LOW, now)
    queue.push("normal", Priority.NORMAL, now)
    for _ in range(1000):
        # High-priority work without end, more than there are turns.
        for i in range(3):
            queue.push(f"high {i}", Priority.HIGH, now)
        (item,), since = queue.take(1)
        served.setdefault(item, now - since)
        now += 0.01
    assert served["normal"] < 0.5
    assert served["low"] < 5.0


def _run(gate, began, seconds, *, wait, busy=1.0):
    """Rounds of 10 ms, one after the other."""
    now = began
    while now < began + seconds:
        gate.round(now, now + 0.01 * busy, wait)
        now += 0.01
    return now


def test_a_gate_closes_above_its_bound_and_opens_well_below_it():
    gate = LoadGate(max_wait_s=0.25, memory_s=1.0)
    assert gate.look(0.0)
    now = _run(gate, 0.0, 5.0, wait=0.2)
    assert gate.look(now)
    now = _run(gate, now, 5.0, wait=0.4)
    assert not gate.look(now)
    now = _run(gate, now, 5.0, wait=0.2)
    assert not gate.look(now), "between the bounds it stays as it is"
    now = _run(gate, now, 5.0, wait=0.05)
    assert gate.look(now)
    now = _run(gate, now, 5.0, wait=0.2)
    assert gate.look(now)


def test_a_moment_of_load_closes_no_gate():
    gate = LoadGate(max_wait_s=0.25, memory_s=2.0)
    now = _run(gate, 0.0, 5.0, wait=0.01)
    now = _run(gate, now, 0.05, wait=2.0)
    assert gate.look(now)


def test_a_gate_opens_when_nothing_runs_any_more():
    gate = LoadGate(max_wait_s=0.25)
    now = _run(gate, 0.0, 20.0, wait=1.0)
    assert not gate.look(now)
    assert gate.look(now + 10.0)


@pytest.mark.parametrize(("busy", "admits"), [(0.5, True), (0.99, False)])
def test_a_gate_can_go_by_the_share_of_computing(busy, admits):
    gate = LoadGate(max_wait_s=0.0, max_share=0.9, memory_s=1.0)
    now = _run(gate, 0.0, 10.0, wait=9.0, busy=busy)
    assert gate.look(now) is admits
    assert gate.share == pytest.approx(busy, abs=0.02)


def test_bounds_of_nothing_are_not_looked_at():
    gate = LoadGate(max_wait_s=0.0)
    assert gate.look(_run(gate, 0.0, 10.0, wait=60.0))
