"""Other voice-activity detectors, frame by frame on the same recordings: for `surnn eval --peers`.

Both hear 16 kHz PCM in one thread, as their authors run them: silero-vad in chunks of 512 samples
behind 64 of the chunk before, webrtcvad in frames of 10 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from surnn.bench.peers import silero_vad
from surnn.errors import MissingDependency
from surnn.types import Float32

__all__ = ["HOP", "RATE", "Detector", "detectors"]

RATE = 16_000
HOP = 160
_CHUNK = 512
_MODES = 4

Pcm = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector that gives a score in 0...1 for every 10 ms."""

    name: str
    version: str
    threshold: float
    """What its documentation suggests."""
    min_on: float
    """Seconds by which a decision comes after the start of what it is about."""
    scores: Callable[[Pcm], Float32]
    """Samples [n] at 16 kHz → [n // 160]; frames that it does not reach repeat the last one."""


def detectors() -> list[Detector]:
    """Those that are installed. Raises `MissingDependency` when none is."""
    found = list(_found())
    if not found:
        raise MissingDependency(
            "no other detector is installed, expected: pip install silero-vad webrtcvad-wheels"
        )
    return found


def _found() -> Iterator[Detector]:
    silero = silero_vad()
    if silero is not None:

        def probabilities(pcm: Pcm) -> Float32:
            chunks = np.array(silero(pcm.tobytes()), np.float32)
            return _spread(chunks, _CHUNK, len(pcm) // HOP)

        # 32 ms pass from the start of a chunk until its answer.
        yield Detector("silero-vad", version("silero-vad"), 0.5, 0.03, probabilities)
    if find_spec("webrtcvad") is not None:
        import webrtcvad

        def votes(pcm: Pcm) -> Float32:
            """How many of the four modes, from lenient to strict, hear speech."""
            frames = [pcm[i : i + HOP].tobytes() for i in range(0, len(pcm) - HOP + 1, HOP)]
            total = np.zeros(len(frames), np.float32)
            for mode in range(_MODES):
                vad = webrtcvad.Vad(mode)
                total += np.array([vad.is_speech(f, RATE) for f in frames], np.float32)
            return total / np.float32(_MODES)

        # At or above 0.75: mode 2 and the more lenient ones hear speech.
        yield Detector("webrtcvad", _webrtc_version(), 0.75, 0.01, votes)


def _spread(chunks: Float32, size: int, frames: int) -> Float32:
    """One score a chunk as one score a frame: of the chunk that holds the frame's middle."""
    if not len(chunks):
        return np.zeros(frames, np.float32)
    middles = np.arange(frames) * HOP + HOP // 2
    spread: Float32 = chunks[np.minimum(middles // size, len(chunks) - 1)]
    return spread


def _webrtc_version() -> str:
    return version("webrtcvad-wheels" if _has("webrtcvad-wheels") else "webrtcvad")


def _has(distribution: str) -> bool:
    from importlib.metadata import PackageNotFoundError

    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
