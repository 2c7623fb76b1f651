"""From whatever a client sends to the frames that a model takes, one stream at a time.

bytes → samples → mono → the model's rate → frames of one hop. Chunks may have any size: split
samples, resampler history and unfinished frames wait here for the next chunk.

The usual stream is 16-bit PCM that is a model's input as it stands. Such bytes wait as they came:
they need no check, and `take_frames` decodes those of a whole batch in one go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from surnn.encodings import FLOATS, Encoding, decode
from surnn.errors import InvalidAudio, InvalidConfig, InvalidShape
from surnn.resample import Resampler
from surnn.runtimes.joined import JoinedFrames
from surnn.spec import ModelKind, ModelSpec
from surnn.types import Float32

__all__ = ["AUDIO_RATES", "Ingest", "Samples", "take_frames"]

Samples = bytes | bytearray | memoryview | np.ndarray

AUDIO_RATES = range(4_000, 384_001)
"""Sample rates in Hz accepted for audio."""
_MAX_SENSOR_RATIO = 100
"""A sensor stream's rate and its model's differ by at most this factor."""
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
        self.finished = False
        """Has the end of the stream been taken in?"""
        self._split = b""
        self._check_config()
        self._resampler = (
            None
            if self.sample_rate == spec.sample_rate
            else Resampler(self.sample_rate, spec.sample_rate, spec.channels)
        )
        self._step = encoding.width * self.channels
        self._frame_bytes = self._step * spec.hop
        self._hop = spec.hop
        self._plain = (
            self._resampler is None
            and encoding is Encoding.PCM_S16LE
            and self.channels == spec.channels
        )
        """Are bytes of this stream samples of the model, to be decoded late?"""
        # Samples at the model's rate that have not left in a frame yet, each [n, spec.channels]:
        # bytes first, then arrays. A plain stream has only bytes, unless it is fed arrays.
        self._bytes: deque[bytes] = deque()
        self._pending: deque[Float32] = deque()
        self._pending_samples = 0
        self.ready = 0
        """Whole frames waiting to be taken. Kept, because it is asked for again and again."""

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
        low = spec.sample_rate / _MAX_SENSOR_RATIO
        high = spec.sample_rate * _MAX_SENSOR_RATIO
        if not low <= self.sample_rate <= high:
            raise InvalidConfig(
                f"sample rate is {self.sample_rate}, expected {low:g} to {high:g} Hz"
            )
        if self.channels != spec.channels:
            raise InvalidConfig(f"stream has {self.channels} channels, expected {spec.channels}")

    @property
    def split(self) -> bytes:
        """An unfinished sample waiting for the rest."""
        return self._split

    def push(self, data: Samples) -> None:
        """Take in a chunk of any size.

        Bytes are read by the stream's encoding and may end inside a sample. Arrays hold whole
        samples: floating point (full scale 1.0) or int16, [n] or [n, channels]. The data is
        copied: the caller may reuse its buffer.

        Raises `InvalidAudio` on NaN, infinity or absurd levels, `InvalidShape` on wrong arrays;
        a refused chunk leaves the stream as it was.
        """
        if self.finished:
            raise InvalidAudio("data after the end of the stream, expected none")
        if self._plain and not self._pending and not isinstance(data, np.ndarray):
            self._push_plain(data)
            return
        if isinstance(data, np.ndarray):
            samples, split = self._from_array(data), self._split
        elif isinstance(data, bytes | bytearray | memoryview):
            samples, split = self._from_bytes(bytes(data))
        else:
            raise InvalidShape(f"data is {type(data).__name__}, expected bytes or a numpy array")
        if isinstance(data, np.ndarray) or self.encoding in FLOATS:
            self._check_values(samples)
        self._split = split
        if len(samples):
            self.position += len(samples)
            self._append(self._mix(samples))

    def _push_plain(self, data: Samples) -> None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidShape(f"data is {type(data).__name__}, expected bytes or a numpy array")
        whole = self._split + bytes(data) if self._split else bytes(data)
        if rest := len(whole) % self._step:
            whole, self._split = whole[:-rest], whole[-rest:]
        elif self._split:
            self._split = b""
        if whole:
            samples = len(whole) // self._step
            self._bytes.append(whole)
            self._count(samples)
            self.position += samples

    def finish(self) -> int:
        """End the stream: flush the resampler, fill the last frame and the lookahead with zeros.

        Returns how many bytes of a split sample were dropped.
        """
        if not self.finished:
            self.finished = True
            if self._resampler is not None:
                self._store(self._resampler.flush())
            missing = -self._pending_samples % self.spec.hop + self.spec.lookahead * self.spec.hop
            if missing:
                self._store(np.zeros((missing, self.spec.channels), np.float32))
        return len(self._split)

    def take(self, max_frames: int) -> Float32:
        """The next frames, at most `max_frames`: [T, S]."""
        frames = min(self.ready, max_frames)
        if self._bytes:
            self._decode_pending()
        missing = frames * self.spec.hop
        self._count(-missing)
        parts = [self._nothing()]
        while missing:
            part = self._pending.popleft()
            if len(part) > missing:
                rest = part[missing:]
                # A view would keep the whole chunk in memory for the sake of its last samples.
                self._pending.appendleft(rest.copy() if len(rest) < missing else rest)
                part = part[:missing]
            parts.append(part)
            missing -= len(part)
        # One chunk is the usual case, and needs no copy.
        samples = parts[1] if len(parts) == 2 else np.concatenate(parts)
        return samples.reshape(frames, self.spec.frame_size)

    def take_bytes(self, max_frames: int) -> bytes | None:
        """The next frames, at most `max_frames`, as 16-bit PCM; None if they are no such bytes."""
        if self._pending or not self._bytes:
            return None
        frames = min(self.ready, max_frames)
        size = frames * self._frame_bytes
        if not size:
            return b""
        self._pending_samples -= frames * self._hop
        self.ready -= frames
        first = self._bytes.popleft()
        if len(first) != size:
            joined = b"".join([first, *self._bytes])
            self._bytes.clear()
            first = joined[:size]
            if len(joined) > size:
                self._bytes.append(joined[size:])
        return first

    def _decode_pending(self) -> None:
        """Let what waits as bytes wait as an array."""
        samples = _decode_pcm(b"".join(self._bytes)).reshape(-1, self.spec.channels)
        self._bytes.clear()
        self._pending.appendleft(samples)

    def memory(self) -> tuple[dict[str, Float32], int]:
        """What the next chunk meets: arrays to save, and the resampler's phase.

        Bytes of a split sample are not part of it: `position` counts whole samples.
        """
        if self._bytes:
            self._decode_pending()
        arrays = {"pending": np.concatenate([self._nothing(), *self._pending])}
        if self._resampler is None:
            return arrays, 0
        return arrays | {"history": self._resampler.history}, self._resampler.phase

    def remember(
        self, position: int, arrays: Mapping[str, NDArray[np.generic]], phase: int
    ) -> None:
        """Go on from what `memory` returned. Raises `InvalidShape` when it does not fit."""
        expected = {"pending"} if self._resampler is None else {"pending", "history"}
        if set(arrays) != expected:
            raise InvalidShape(f"saved arrays are {sorted(arrays)}, expected {sorted(expected)}")
        pending = arrays["pending"].astype(np.float32)
        if pending.ndim != 2 or pending.shape[1] != self.spec.channels:
            raise InvalidShape(
                f"pending samples are {list(pending.shape)}, expected [n, {self.spec.channels}]"
            )
        if self._resampler is not None:
            self._resampler.restore(arrays["history"].astype(np.float32), phase)
        self.position, self._split = position, b""
        self._bytes.clear()
        self._pending.clear()
        if len(pending):
            self._pending.append(pending)
        self._pending_samples = 0
        self._count(len(pending))

    def _count(self, samples: int) -> None:
        """So many samples more are waiting, or less."""
        self._pending_samples += samples
        self.ready = self._pending_samples // self._hop

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
        # C order, because the sum that mixes channels down depends on it in its last bit.
        if samples.dtype.kind == "i" and samples.dtype.itemsize == 2:
            return samples.astype(np.float32, order="C") * np.float32(1 / 32768)
        if samples.dtype.kind == "f":
            with np.errstate(over="ignore"):  # becomes infinity, which is refused
                return samples.astype(np.float32, order="C")
        raise InvalidShape(f"samples are {samples.dtype}, expected float32, float64 or int16")

    def _check_values(self, samples: Float32) -> None:
        if not len(samples):
            return
        # NaN and infinity spread through minimum and maximum.
        peak = float(np.maximum(samples.max(), -samples.min()))
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
        mono: Float32 = samples.mean(axis=1, keepdims=True, dtype=np.float32)
        return mono

    def _append(self, samples: Float32) -> None:
        self._store(samples if self._resampler is None else self._resampler.process(samples))

    def _store(self, samples: Float32) -> None:
        if len(samples):
            if self._bytes:
                self._decode_pending()
            self._pending.append(samples)
            self._count(len(samples))


def take_frames(ingests: Sequence[Ingest], max_frames: int) -> Sequence[Float32]:
    """What `Ingest.take` gives for each, bit for bit; plain streams are decoded together."""
    size = ingests[0].spec.frame_size
    if len(ingests) == 1:
        (ingest,) = ingests
        data = ingest.take_bytes(max_frames)
        return [ingest.take(max_frames) if data is None else _decode_pcm(data).reshape(-1, size)]
    taken = [ingest.take_bytes(max_frames) for ingest in ingests]
    plain = [data for data in taken if data is not None]
    ends = [0, *accumulate([len(data) // (2 * size) for data in plain])]
    joined = JoinedFrames(_decode_pcm(b"".join(plain)).reshape(-1, size), ends)
    if len(plain) == len(ingests):
        return joined
    decoded = iter(joined)
    return [
        ingest.take(max_frames) if data is None else next(decoded)
        for ingest, data in zip(ingests, taken, strict=True)
    ]


def _decode_pcm(data: bytes) -> Float32:
    return decode(data, Encoding.PCM_S16LE)
