"""Turns in alternation, medians, and a clock that does not count what other programs take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

__all__ = ["interleaved"]

_TURN_S = 0.01


def interleaved(
    work: Mapping[str, Callable[[], object]], *, rounds: int, turn_s: float = _TURN_S
) -> dict[str, float]:
    """Median microseconds of one call of each function, in CPU time of this thread.

    Each round gives every function one turn of about `turn_s` seconds, one after the other, so
    that a slower moment of the machine meets all of them.
    """
    calls = {name: _calls(function, turn_s) for name, function in work.items()}
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, function in work.items():
            began = time.thread_time_ns()
            for _ in range(calls[name]):
                function()
            times[name].append((time.thread_time_ns() - began) / calls[name] / 1000)
    return {name: median(values) for name, values in times.items()}


def _calls(function: Callable[[], object], turn_s: float) -> int:
    """How many calls fill a turn. The first call compiles and is not counted."""
    function()
    began = time.thread_time_ns()
    function()
    once = max(time.thread_time_ns() - began, 200)
    return max(1, round(turn_s * 1e9 / once))
