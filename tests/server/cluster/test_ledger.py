"""Accounts that members share."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import ExitStack

import pytest

from surnn_server.apikeys import KeyLimits
from surnn_server.cluster.ledger import Ledger
from surnn_server.codes import ErrorCode, Refusal
from surnn_server.quotas import Quota


@pytest.fixture
def ledgers(tmp_path):
    """The same ledger as two members see it."""
    with ExitStack() as stack:
        ledgers = [Ledger(tmp_path / "ledger", 2, member) for member in (0, 1)]
        for ledger in ledgers:
            stack.callback(ledger.close)
        yield ledgers


def test_sessions_of_all_members_count(ledgers):
    limits = KeyLimits(max_sessions=2)
    one, other = (Quota(limits, account=ledger.account("key a")) for ledger in ledgers)
    one.enter()
    other.enter()
    assert one.sessions == other.sessions == 2
    with pytest.raises(Refusal, match=r"^2 sessions of this key run, expected at most 2$"):
        one.enter()
    other.leave()
    one.enter()
    assert ledgers[0].account("key b").sessions == 0


def test_those_of_a_member_that_died_are_struck_off(ledgers):
    for ledger in ledgers:
        ledger.account("x").add_sessions(3)
    ledgers[0].forget(1)
    assert ledgers[1].account("x").sessions == 3


def test_an_allowance_is_shared_and_survives_who_looks_first(ledgers):
    now = [100.0]
    limits = KeyLimits(requests_per_minute=3)

    def quota(ledger):
        return Quota(limits, clock=lambda: now[0], account=ledger.account("key a"))

    one = quota(ledgers[0])
    one.request()
    other = quota(ledgers[1])  # a member that starts later gives nothing back
    other.request()
    one.request()
    with pytest.raises(Refusal) as refused:
        other.request()
    assert refused.value.code is ErrorCode.RATE_LIMITED
    now[0] += 20.0
    one.request()
    with pytest.raises(Refusal):
        other.request()


def test_new_limits_begin_anew_for_all(ledgers):
    clock = time.monotonic
    one = Quota(KeyLimits(requests_per_minute=1), clock, ledgers[0].account("a"))
    one.request()
    other = Quota(KeyLimits(requests_per_minute=2), clock, ledgers[1].account("a"))
    one.change(KeyLimits(requests_per_minute=2))
    one.request()
    other.request()
    with pytest.raises(Refusal):
        one.request()


def test_names_that_share_a_place_are_two(ledgers):
    ledger = ledgers[0]
    names = [f"key {i}" for i in range(2000)]
    for i, name in enumerate(names):
        ledger.account(name).add_sessions(i)
    assert [ledgers[1].account(name).sessions for name in names] == list(range(2000))


def _hold(path, holds):
    ledger = Ledger(path, 2, 1)
    with ledger.lock:
        holds.set()
        time.sleep(60)


def test_the_lock_of_the_dead_is_free(ledgers, tmp_path):
    context = multiprocessing.get_context("spawn")
    holds = context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "ledger", holds))
    process.start()
    assert holds.wait(30)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    ledgers[0].account("x").add_sessions(1)
    with ledgers[0].lock:
        assert ledgers[0].account("x").sessions == 1
