"""The soak: a short one loses nothing, and one that loses something says so."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import replace
from types import SimpleNamespace

import pytest

import surnn
from surnn_cli.soak.marathon import Marathon
from surnn_cli.soak.report import render
from surnn_cli.soak.run import Soak, run_soak
from surnn_cli.soak.sounds import Result, make_sound, undisturbed
from surnn_cli.soak.streams import Case, Score, difference, play, play_on
from surnn_cli.soak.watch import Watch


@pytest.fixture(scope="module")
def soaked():
    return run_soak(Soak(minutes=0.2, streams=4, seconds=5.0, seed=5))


def test_a_short_soak_loses_nothing(soaked):
    assert soaked["failures"] == []
    assert soaked["ok"]
    assert soaked["streams"]["finished"] >= 4
    assert soaked["streams"]["events"] > 100
    assert soaked["marathon"]["events"] > 100
    assert soaked["marathon"]["updates"] > 0
    assert soaked["faults"]["connection cut within a frame"] > 0
    assert soaked["server"]["started"] >= 2
    assert sum(client["tried"] for client in soaked["clients"].values()) > 10


def test_it_can_be_read(soaked):
    tests = [{"test": "test_kill.py: test_a", "outcome": "passed", "seconds": 1.0}]
    targets = [
        {
            "target": "tokens",
            "inputs": 70,
            "outcomes": {"opened": 5, "invalid_token": 65},
            "unhandled": 0,
            "memory_growth_mb": 0.1,
        }
    ]
    machine = soaked["machine"]
    text = render(
        [
            ("soak.json", soaked),
            (
                "faults.json",
                {"report": "faults", "machine": machine, "settings": {}, "tests": tests},
            ),
            (
                "fuzz.json",
                {
                    "report": "fuzz",
                    "machine": machine,
                    "seed": 1,
                    "inputs": 70,
                    "targets": targets,
                },
            ),
        ]
    )
    assert "| **streams lost or different** | 0 |" in text
    assert "| fuzzing | 70 inputs | 0 |" in text
    assert "| test_kill.py: test_a | passed | 1 |" in text
    assert "--output docs/data/soak.json`" in text


@pytest.fixture(scope="module")
def case(prepared):
    model = surnn.load(str(prepared("native")[0]))
    sound = make_sound(1, 2.0)
    return Case("mortal", sound, undisturbed(model, sound), exact=True)


native = pytest.mark.parametrize("faults", ["native"], indirect=True)


@native
def test_a_stream_that_differs_is_noticed(case, faults):
    server = faults.servers.start()
    told = asyncio.run(play(server.url, case, Score(), random.Random(3)))
    assert difference(told, case) is None
    probs, events = case.expected.probs, case.expected.events
    for wrong in (
        Result([*probs[:50], probs[50] + 1e-7, *probs[51:]], events),
        Result(probs[1:], events),
        Result(probs, events[1:]),
    ):
        assert difference(told, replace(case, expected=wrong)) is not None


@native
def test_a_stream_that_fails_is_noticed(case, faults):
    server = faults.servers.start()
    case = replace(case, model="vad")
    score, over = Score(), asyncio.Event()

    async def go():
        playing = asyncio.create_task(play_on(server.url, [case], score, random.Random(1), over))
        async with asyncio.timeout(300):
            while not score.lost:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        over.set()
        await playing

    asyncio.run(go())
    assert score.finished == 0
    assert "no model 'vad'" in score.lost[0]


def test_a_marathon_that_differs_is_noticed():
    def compared(*events, expected, summary=None):
        marathon, score = Marathon(), Score()
        twin = SimpleNamespace(exact=True, events=deque(expected), totals=lambda n: (16, 1, 5, n))
        for event in events:
            marathon._compare(event, twin, score)
        if summary is not None:
            marathon._finish(summary, twin, score)
        return score.lost

    one, other = ("speech", "start", 1.0, 0.5), ("speech", "start", 1.01, 0.5)
    sparsity = SimpleNamespace(updates=5)
    summary = SimpleNamespace(seconds=3e6, samples=16, frames=1, sparsity=sparsity, events=1)
    assert compared(one, expected=[one], summary=summary) == []
    assert "expected ('speech', 'start', 1.01, 0.5)" in compared(one, expected=[other])[0]
    assert "expected None" in compared(one, one, expected=[one])[0]
    (missing,) = compared(one, expected=[one, other], summary=summary)
    assert missing == "marathon: 1 events did not come"
    summary.samples = 15
    assert "(15, 1, 5, 1), not (16, 1, 5, 1)" in compared(one, expected=[one], summary=summary)[0]


@pytest.mark.parametrize(
    ("seen", "failure"),
    [
        ({}, None),
        ({"left": {"surnn_slots_used": 1.0}}, "left after the last client"),
        ({"left": {"open_files": 20.0}}, None),
        ({"memory": [*[10**8] * 20, *[2 * 10**8] * 20]}, "memory grew by 100.0 MB"),
        ({"memory": [*[10**7] * 12, *[10**8] * 28]}, None),
        ({"latency_ms": [*[60.0] * 25, *[300.0] * 15]}, "latency grew from 60 to 300 ms"),
        ({"latency_ms": [*[1.0] * 25, *[100.0] * 15]}, None),
    ],
    ids=["nothing", "slot", "files", "memory", "warm-up", "latency", "little latency"],
)
def test_what_grows_is_a_failure(seen, failure):
    watch = Watch(most_growth_mb=64.0, most_slower=4.0, **seen)
    assert len(watch.failures()) == (failure is not None)
    assert failure is None or failure in watch.failures()[0]
