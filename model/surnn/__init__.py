"""Streaming inference for selective-update RNNs.

In your own program, without a server:

    import surnn

    stream = surnn.load("vad").stream(sample_rate=48_000)
    for chunk in stream.feed(pcm):
        print(chunk.events, chunk.sparsity.open_rate)
"""

from surnn.encodings import Encoding
from surnn.errors import (
    CorruptModel,
    InvalidAudio,
    InvalidConfig,
    InvalidInput,
    InvalidShape,
    SurnnError,
    UnknownModel,
)
from surnn.model import Model, installed, load
from surnn.spec import ModelSpec
from surnn.stream import Stream
from surnn.types import ChunkResult, Event, EventKind, Sparsity

__version__ = "0.1.0"

__all__ = [
    "ChunkResult",
    "CorruptModel",
    "Encoding",
    "Event",
    "EventKind",
    "InvalidAudio",
    "InvalidConfig",
    "InvalidInput",
    "InvalidShape",
    "Model",
    "ModelSpec",
    "Sparsity",
    "Stream",
    "SurnnError",
    "UnknownModel",
    "__version__",
    "installed",
    "load",
]
