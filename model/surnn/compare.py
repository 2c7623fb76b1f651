"""Two runtimes of one model on the same recordings: how far apart are their numbers?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surnn.answers import probabilities
from surnn.errors import InvalidConfig
from surnn.ingest import Ingest
from surnn.recording import open_recording
from surnn.runtimes.base import Runtime
from surnn.spec import ModelSpec
from surnn.types import Float32

__all__ = ["Comparison", "compare", "frames_of"]

_FRAMES = 100
"""Frames of one call."""


@dataclass(slots=True)
class Comparison:
    """Largest differences over one session."""

    frames: int = 0
    probs: float = 0.0
    """Of probabilities, in any frame."""
    state: float = 0.0
    """Of states, looked at behind every call."""
    gates: int = 0
    """Frames in which the layers opened other numbers of neurons."""


def compare(
    first: Runtime, second: Runtime, frames: Iterable[Float32], *, most: int | None = None
) -> Comparison:
    """Run both over frames [T, S], which follow each other in one session; at most `most` of them.

    Raises `InvalidConfig` when the runtimes do not run the same weights.
    """
    if first.fingerprint != second.fingerprint:
        raise InvalidConfig(
            f"runtimes hold weights {first.fingerprint[:12]} and {second.fingerprint[:12]}, "
            "expected the same"
        )
    found = Comparison()
    pools = [runtime.new_pool(1) for runtime in (first, second)]
    slots = [pool.acquire() for pool in pools]
    for part in frames:
        left = len(part) if most is None else min(len(part), most - found.frames)
        if not left:
            break
        blocks, states = [], []
        for runtime, pool, slot in zip((first, second), pools, slots, strict=True):
            blocks.append(runtime.run(pool, [slot], [part[:left]])[0])
            states.append(pool.read(slot))
        one, other = (probabilities(b.logits, first.spec.head).astype(np.float64) for b in blocks)
        found.frames += left
        found.probs = max(found.probs, float(np.abs(one - other).max()))
        found.gates += int((blocks[0].opened != blocks[1].opened).any(axis=1).sum())
        for name, value in states[0].items():
            apart = np.abs(np.subtract(value, states[1][name], dtype=np.float64))
            found.state = max(found.state, float(apart.max(initial=0.0)))
    return found


def frames_of(spec: ModelSpec, paths: Iterable[Path]) -> Iterator[Float32]:
    """Frames [T, S] of recordings, one behind the other, at the model's rate.

    Raises `InvalidAudio`.
    """
    for path in paths:
        recording = open_recording(spec, path)
        try:
            ingest = Ingest(spec, sample_rate=recording.sample_rate, channels=recording.channels)
            for block in recording.blocks():
                ingest.push(block)
                while ingest.ready:
                    yield ingest.take(_FRAMES)
        finally:
            recording.close()
