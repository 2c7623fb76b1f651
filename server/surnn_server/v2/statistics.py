"""How the requests of one model went, as Triton's statistics extension tells it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from surnn import ChunkResult

__all__ = ["ModelStatistics"]


@dataclass
class _Duration:
    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.ns += round(seconds * 1e9)

    def record(self) -> dict[str, int]:
        return {"count": self.count, "ns": self.ns}


@dataclass
class ModelStatistics:
    """Counts and times since the start of the server."""

    success: _Duration = field(default_factory=_Duration)
    fail: _Duration = field(default_factory=_Duration)
    queue: _Duration = field(default_factory=_Duration)
    compute: _Duration = field(default_factory=_Duration)
    executions: int = 0
    last_ms: int = 0
    """When the last request was answered, in milliseconds of Unix time."""

    def succeeded(self, seconds: float, results: Sequence[ChunkResult], queue_ms: float) -> None:
        """A request was answered."""
        self.success.add(seconds)
        self.queue.add(queue_ms / 1000.0)
        self.compute.add(sum(result.compute_ms for result in results) / 1000.0)
        self.executions += len(results)
        self.last_ms = round(time.time() * 1000)

    def failed(self, seconds: float) -> None:
        """A request was refused."""
        self.fail.add(seconds)

    def record(self, name: str, version: str) -> dict[str, Any]:
        """One entry of `model_stats`."""
        none = _Duration(self.success.count).record()
        return {
            "name": name,
            "version": version,
            "last_inference": self.last_ms,
            "inference_count": self.success.count,
            "execution_count": self.executions,
            "inference_stats": {
                "success": self.success.record(),
                "fail": self.fail.record(),
                "queue": self.queue.record(),
                "compute_input": none,
                "compute_infer": self.compute.record(),
                "compute_output": none,
                "cache_hit": _Duration().record(),
                "cache_miss": _Duration().record(),
            },
            "batch_stats": [],
        }
