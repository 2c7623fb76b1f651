"""What is seen of the last server of a soak from outside: its memory, files, latency, leftovers."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from surnn_cli.soak.victim import Victim

__all__ = ["Watch"]

_QUIET_S = 60.0
"""Wait for the last slot."""
_WARM_UP = 0.3
"""Share of the time which counts as warming up."""
_NOTHING_MS = 50.0
"""Latency of which no growth is worth a word."""
_LEFT = ("surnn_sessions_active", "surnn_slots_used")


@dataclass
class Watch:
    """Looks at a server again and again, and judges what it saw."""

    most_growth_mb: float
    most_slower: float
    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    """Mean of each look."""
    left: dict[str, float] = field(default_factory=dict)
    """What should be 0 after the last client."""

    async def observe(self, victim: Victim, until: float) -> None:
        """Look every other second."""
        before = await victim.metrics()
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 2.0))
            now = await victim.metrics()
            self.memory.append(victim.memory_bytes())
            self.files.append(victim.open_files())
            results = _grown("surnn_latency_seconds_count", before, now)
            if results > 0:
                spent = _grown("surnn_latency_seconds_sum", before, now)
                self.latency_ms.append(spent / results * 1000.0)
            before = now

    async def settle(self, victim: Victim) -> None:
        """All clients are gone: what is left?"""
        deadline = time.monotonic() + _QUIET_S
        while time.monotonic() < deadline:
            metrics = await victim.metrics()
            self.left = {name: metrics.get(name, -1.0) for name in _LEFT}
            if not any(self.left.values()):
                break
            await asyncio.sleep(0.5)
        await asyncio.sleep(1.0)
        self.left["open_files"] = victim.open_files()

    def failures(self) -> list[str]:
        """What should not be."""
        found = []
        left = {name: self.left[name] for name in _LEFT if self.left.get(name)}
        if left:
            found.append(f"left after the last client: {left}")
        growth = _change(_warm(self.memory)) / 1e6
        if growth > self.most_growth_mb:
            found.append(f"memory grew by {growth:.1f} MB")
        first, last = _ends(_warm(self.latency_ms))
        if last > self.most_slower * max(first, _NOTHING_MS):
            found.append(f"latency grew from {first:.0f} to {last:.0f} ms")
        return found

    def report(self) -> dict[str, object]:
        """Figures for the JSON."""
        memory, latency = _warm(self.memory), _warm(self.latency_ms)
        return {
            "memory_mb": round(statistics.median(memory) / 1e6, 1) if memory else None,
            "memory_growth_mb": round(_change(memory) / 1e6, 2),
            "open_files_under_load": max(self.files, default=0),
            "latency_ms": round(statistics.fmean(latency), 2) if latency else None,
            "latency_growth_ms": round(_change(latency), 2),
            "left": {name: int(value) for name, value in self.left.items()},
        }


def _warm(values: Sequence[float]) -> Sequence[float]:
    return values[int(len(values) * _WARM_UP) :]


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Medians of the first third and of the last one."""
    third = len(values) // 3
    if not third:
        return 0.0, 0.0
    return statistics.median(values[:third]), statistics.median(values[-third:])


def _change(values: Sequence[float]) -> float:
    first, last = _ends(values)
    return last - first


def _grown(name: str, before: dict[str, float], now: dict[str, float]) -> float:
    return now.get(name, 0.0) - before.get(name, 0.0)
