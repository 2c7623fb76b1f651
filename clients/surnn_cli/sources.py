"""What `surnn stream` sends: a recording or a pipe, as bytes and how to read them."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from surnn_cli.errors import CommandError
from surnn_cli.interrupts import Stop

if TYPE_CHECKING:
    from surnn import ModelSpec
    from surnn.recording import Recording

__all__ = ["Source", "open_source"]

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Source:
    """A stream of bytes. None leaves a choice to the model. A context manager."""

    chunks: Iterator[bytes]
    sample_rate: int | None
    encoding: str | None
    channels: int | None
    seconds: float | None = None
    """Length, where it is known."""
    recording: Recording | None = None

    def bytes_per_second(self, model_rate: int, *, sensor: bool) -> float:
        """How fast the source runs, for a model of that rate."""
        from surnn_client.samples import WIDTH

        encoding = self.encoding or ("f32le" if sensor else "pcm_s16le")
        width = WIDTH.get(encoding)
        if width is None:
            raise CommandError(f"encoding is {encoding!r}, expected one of {sorted(WIDTH)}")
        return float((self.sample_rate or model_rate) * width * (self.channels or 1))

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.recording is not None:
            self.recording.close()


def open_source(
    name: str,
    *,
    spec: ModelSpec | None,
    rate: int | None,
    encoding: str | None,
    channels: int | None,
    stop: Stop,
    chunk_seconds: float = 0.1,
) -> Source:
    """A file's samples, or for `-` what comes through standard input, until `stop` is set.

    `spec` is the model's, where it is at hand. Raises `InvalidAudio` for a file that is none,
    `CommandError` for options that do not go with a file.
    """
    if name == "-":
        return Source(_pipe(sys.stdin.buffer, stop), rate, encoding, channels)
    if encoding is not None or channels is not None:
        raise CommandError(
            "--encoding and --channels describe raw samples from a pipe (-), "
            f"but {name} says so itself"
        )
    recording = _open(Path(name), spec)
    sample_rate = recording.sample_rate or rate
    if recording.sample_rate is not None and rate not in (None, recording.sample_rate):
        recording.close()
        raise CommandError(f"--rate is {rate}, but {name} has {recording.sample_rate} Hz")
    return Source(
        _samples(recording, chunk_seconds, sample_rate, stop),
        sample_rate,
        "f32le",
        recording.channels,
        recording.frames / sample_rate if recording.frames and sample_rate else None,
        recording,
    )


def _open(path: Path, spec: ModelSpec | None) -> Recording:
    from surnn.audiofile import AudioFile
    from surnn.recording import open_recording
    from surnn.sensorfile import SUFFIXES, SensorFile

    if spec is not None:
        return open_recording(spec, path)
    return SensorFile(path) if path.suffix.lower() in SUFFIXES else AudioFile(path)


def _samples(recording: Recording, seconds: float, rate: int | None, stop: Stop) -> Iterator[bytes]:
    if recording.sample_rate is None and rate:
        # A table does not know how long its rows last: it counts a hundred of them as a second.
        seconds = max(seconds, 1.0 / rate) * rate / 100
    for block in recording.blocks(seconds):
        if stop.asked:
            return
        yield block.tobytes()


def _pipe(stream: IO[bytes], stop: Stop) -> Iterator[bytes]:
    try:
        descriptor = stream.fileno()
    except OSError:
        while not stop.asked and (data := stream.read(4096)):
            yield data
        return
    # Read past the buffer: what it holds back would look like a silent pipe to `select`.
    while not stop.asked:
        if not _readable(descriptor):
            continue
        data = os.read(descriptor, 65536)
        if not data:
            return
        yield data


def _readable(descriptor: Any) -> bool:
    if sys.platform == "win32":
        return True
    return bool(select.select([descriptor], [], [], _POLL_S)[0])
