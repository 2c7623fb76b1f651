"""What scoring needs of a file, whatever its format, and how the right reader is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Protocol

from surnn.audiofile import AudioFile
from surnn.sensorfile import SUFFIXES, SensorFile
from surnn.sources import Source, source_name
from surnn.spec import ModelKind, ModelSpec
from surnn.types import Float32

__all__ = ["Recording", "open_recording"]


class Recording(Protocol):
    """An open file of samples, read in constant memory. A context manager."""

    name: str
    """The file's name, without its folder."""

    @property
    def sample_rate(self) -> int | None:
        """Samples per second; None where the format does not say."""

    @property
    def channels(self) -> int: ...

    @property
    def frames(self) -> int | None:
        """Samples of each channel; None where only reading to the end would tell."""

    def blocks(self, seconds: float = 10.0) -> Iterator[Float32]:
        """The samples from the first to the last, in blocks [n, channels]."""
        ...

    def close(self) -> None: ...


def open_recording(spec: ModelSpec, source: Source) -> Recording:
    """Open a file that the model is to hear. Raises `InvalidAudio`.

    Audio models take audio files. Sensor models take `.csv` and `.npy`, and read every other
    file as audio, whose channels are then the sensor's.
    """
    suffix = PurePath(source_name(source)).suffix.lower()
    if spec.kind is ModelKind.SENSOR and suffix in SUFFIXES:
        return SensorFile(source)
    return AudioFile(source)
