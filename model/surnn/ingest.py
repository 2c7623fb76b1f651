"""From whatever a client sends to the frames that a model takes, one stream at a time.

bytes → samples → mono → the model's rate → frames of one hop. Chunks may have any size: split
samples, resampler history and unfinished frames wait here for the next chunk.
"""

from __future__ import annotations

import numpy as np
import soxr

from surnn.encodings import Encoding, decode
from surnn.errors import InvalidAudio, InvalidConfig, InvalidShape
from surnn.spec import ModelKind, ModelSpec
from surnn.types import Float32

__all__ = ["AUDIO_RATES", "Ingest", "Samples"]

Samples = bytes | bytearray | memoryview | np.ndarray

AUDIO_RATES = range(4_000, 384_001)
"""Sample rates in Hz accepted for audio."""
_MAX_SENSOR_RATIO = 100
_MAX_CHANNELS = 8
# Louder than this is not audio in -1...1 but integers sent as floats: worth a clear message.
_MAX_AUDIO = 16.0
_MAX_SENSOR = 1e9


class Ingest:
    """Turns one stream's data into frames [T, S].

    Args:
        spec: the model that will take the frames.
        sample_rate: samples per second of the stream; the model's own when None.
        encoding: how bytes are to be read; arrays carry their own type.
        channels: interleaved channels of the stream; audio is mixed down to mono.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        sample_rate: int | None = None,
        encoding: Encoding = Encoding.PCM_S16LE,
        channels: int | None = None,
    ) -> None:
        self.spec = spec
        self.sample_rate = spec.sample_rate if sample_rate is None else sample_rate
        self.encoding = encoding
        self.channels = spec.channels if channels is None else channels
        self.position = 0
        """Samples of the stream taken in so far, at its own rate."""
        self._finished = False
        self._split = b""
        self._check_config()
        self._resampler = (
            None
            if self.sample_rate == spec.sample_rate
            else soxr.ResampleStream(
                self.sample_rate, spec.sample_rate, spec.channels, dtype="float32", quality="HQ"
            )
        )
        # Samples at the model's rate that have not left in a frame yet, [n, spec.channels].
        self._pending: list[Float32] = []
        self._pending_samples = 0

    def _check_config(self) -> None:
        spec = self.spec
        if spec.kind is ModelKind.AUDIO:
            if self.sample_rate not in AUDIO_RATES:
                raise InvalidConfig(
                    f"sample rate is {self.sample_rate}, "
                    f"expected {AUDIO_RATES.start} to {AUDIO_RATES.stop - 1} Hz"
                )
            if not 1 <= self.channels <= _MAX_CHANNELS:
                raise InvalidConfig(
                    f"stream has {self.channels} channels, expected 1 to {_MAX_CHANNELS}"
                )
            return
        if not spec.sample_rate <= self.sample_rate * _MAX_SENSOR_RATIO <= (
            spec.sample_rate * _MAX_SENSOR_RATIO**2
        ):
            raise InvalidConfig(
                f"sample rate is {self.sample_rate}, expected near {spec.sample_rate} Hz"
            )
        if self.channels != spec.channels:
            raise InvalidConfig(
                f"stream has {self.channels} channels, model {spec.name!r} takes {spec.channels}"
            )

    @property
    def ready(self) -> int:
        """Whole frames waiting to be taken."""
        return self._pending_samples // self.spec.hop

    @property
    def split_bytes(self) -> int:
        """Bytes of an unfinished sample waiting for the rest."""
        return len(self._split)

    def push(self, data: Samples) -> None:
        """Take in a chunk of any size.

        Bytes are read by the stream's encoding and may end inside a sample. Arrays hold whole
        samples: floating point (full scale 1.0) or int16, [n] or [n, channels].

        Raises `InvalidAudio` on NaN, infinity or absurd levels, `InvalidShape` on wrong arrays;
        a refused chunk leaves the stream as it was.
        """
        if self._finished:
            raise InvalidAudio("data after the end of the stream, expected none")
        if isinstance(data, np.ndarray):
            samples, split = self._from_array(data), self._split
        else:
            samples, split = self._from_bytes(bytes(data))
        self._check_values(samples)
        self._split = split
        if len(samples):
            self.position += len(samples)
            self._append(self._mix(samples))

    def finish(self) -> int:
        """End the stream: flush the resampler, fill the last frame with zeros.

        Returns how many bytes of a split sample were dropped.
        """
        if not self._finished:
            self._finished = True
            if self._resampler is not None:
                self._append(np.zeros((0, self.spec.channels), np.float32), last=True)
            missing = -self._pending_samples % self.spec.hop
            if missing:
                self._store(np.zeros((missing, self.spec.channels), np.float32))
        return len(self._split)

    def take(self, max_frames: int) -> Float32:
        """The next frames, at most `max_frames`: [T, S]."""
        frames = min(self.ready, max_frames)
        samples = np.concatenate(self._pending) if self._pending else self._nothing()
        used = frames * self.spec.hop
        self._pending = [samples[used:]] if used < len(samples) else []
        self._pending_samples -= used
        return samples[:used].reshape(frames, self.spec.frame_size)

    def _nothing(self) -> Float32:
        return np.zeros((0, self.spec.channels), np.float32)

    def _from_bytes(self, data: bytes) -> tuple[Float32, bytes]:
        data = self._split + data
        step = self.encoding.width * self.channels
        whole = len(data) - len(data) % step
        samples = decode(data[:whole], self.encoding)
        return samples.reshape(-1, self.channels), data[whole:]

    def _from_array(self, data: np.ndarray) -> Float32:
        if self._split:
            raise InvalidAudio(
                f"array after {len(self._split)} bytes of a split sample, expected bytes"
            )
        samples = data.reshape(-1, 1) if data.ndim == 1 else data
        if samples.ndim != 2 or samples.shape[1] != self.channels:
            raise InvalidShape(
                f"samples are {list(data.shape)}, expected [n] or [n, {self.channels}]"
                if self.channels == 1
                else f"samples are {list(data.shape)}, expected [n, {self.channels}]"
            )
        if samples.dtype == np.int16:
            return samples.astype(np.float32) * np.float32(1 / 32768)
        if samples.dtype.kind == "f":
            return samples.astype(np.float32)
        raise InvalidShape(f"samples are {samples.dtype}, expected float32, float64 or int16")

    def _check_values(self, samples: Float32) -> None:
        if not len(samples):
            return
        # One pass finds both problems: NaN and infinity spread through the maximum.
        peak = float(np.max(np.abs(samples)))
        if not np.isfinite(peak):
            raise InvalidAudio("samples hold NaN or infinity, expected finite numbers")
        audio = self.spec.kind is ModelKind.AUDIO
        limit = _MAX_AUDIO if audio else _MAX_SENSOR
        if peak > limit:
            raise InvalidAudio(
                f"samples reach {peak:g}, expected "
                + ("-1 to 1 at full scale" if audio else f"at most {limit:g}")
            )

    def _mix(self, samples: Float32) -> Float32:
        if self.channels == self.spec.channels:
            return samples
        return samples.mean(axis=1, keepdims=True, dtype=np.float32)

    def _append(self, samples: Float32, *, last: bool = False) -> None:
        if self._resampler is not None:
            out = self._resampler.resample_chunk(samples, last=last)
            samples = np.asarray(out, dtype=np.float32).reshape(-1, self.spec.channels)
        self._store(samples)

    def _store(self, samples: Float32) -> None:
        if len(samples):
            self._pending.append(samples)
            self._pending_samples += len(samples)
