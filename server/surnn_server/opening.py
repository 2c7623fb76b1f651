"""From `start` to the options of a session. No I/O."""

from __future__ import annotations

from surnn import Encoding
from surnn.engine import StreamConfig
from surnn.snapshot import Snapshot
from surnn.spec import ModelKind, ModelSpec
from surnn_server.messages import Start
from surnn_server.settings import Settings

__all__ = ["checkpoint_interval", "stream_config"]

_LEAST_INTERVAL_S = 0.1
"""Between checkpoints: each costs about as much as a result."""


def stream_config(spec: ModelSpec, start: Start, snapshot: Snapshot | None) -> StreamConfig:
    """How a stream arrives: as its token says, or as asked for, or as the model likes it."""
    if snapshot is not None:
        state = snapshot.state
        return StreamConfig(state.sample_rate, state.encoding, state.channels, state.thresholds)
    default = Encoding.PCM_S16LE if spec.kind is ModelKind.AUDIO else Encoding.F32LE
    return StreamConfig(
        sample_rate=start.sample_rate or spec.sample_rate,
        encoding=start.encoding or default,
        channels=start.channels or spec.channels,
        thresholds=start.thresholds,
    )


def checkpoint_interval(start: Start, settings: Settings) -> float:
    """Seconds between the checkpoints of a stream; 0: none."""
    wanted = start.checkpoint_interval_s
    if wanted is None:
        wanted = settings.checkpoint_interval_s
    return max(wanted, _LEAST_INTERVAL_S) if wanted else 0.0
