"""Bytes to samples: the PCM encodings that streams may use.

G.711 tables follow ITU-T G.711; all encodings are little-endian and come out as float32, full
scale at 1.0.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from surnn.types import Float32

__all__ = ["FLOATS", "Encoding", "decode"]


class Encoding(StrEnum):
    """How the samples of a stream are written."""

    PCM_S16LE = "pcm_s16le"
    PCM_S24LE = "pcm_s24le"
    PCM_S32LE = "pcm_s32le"
    PCM_F32LE = "pcm_f32le"
    PCM_U8 = "pcm_u8"
    MULAW = "mulaw"
    ALAW = "alaw"
    F32LE = "f32le"
    """The same bytes as `PCM_F32LE`, the usual name for sensor streams."""

    @property
    def width(self) -> int:
        """Bytes of one sample of one channel."""
        return _WIDTH[self]

    @property
    def silence(self) -> bytes:
        """One byte, which repeated means silence."""
        return _SILENCE.get(self, b"\0")


FLOATS = frozenset({Encoding.PCM_F32LE, Encoding.F32LE})
"""Encodings in which a sample may be anything; in the others it lies in -1...1."""

_WIDTH = {
    Encoding.PCM_S16LE: 2,
    Encoding.PCM_S24LE: 3,
    Encoding.PCM_S32LE: 4,
    Encoding.PCM_F32LE: 4,
    Encoding.PCM_U8: 1,
    Encoding.MULAW: 1,
    Encoding.ALAW: 1,
    Encoding.F32LE: 4,
}


_I2 = np.dtype("<i2")
_FULL_SCALE = np.float32(1 / 32768)
_SILENCE = {Encoding.PCM_U8: b"\x80", Encoding.MULAW: b"\xff", Encoding.ALAW: b"\xd5"}


def _mulaw_table() -> Float32:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 0x07)
    value = np.where(code & 0x80, 0x84 - magnitude, magnitude - 0x84)
    return (value / 32768.0).astype(np.float32)


def _alaw_table() -> Float32:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code >> 4) & 0x07
    mantissa = (code & 0x0F) << 4
    magnitude = np.where(
        segment == 0, mantissa + 8, (mantissa + 0x108) << np.maximum(segment - 1, 0)
    )
    value = np.where(code & 0x80, magnitude, -magnitude)
    return (value / 32768.0).astype(np.float32)


_TABLES = {Encoding.MULAW: _mulaw_table(), Encoding.ALAW: _alaw_table()}


def decode(data: bytes, encoding: Encoding) -> Float32:
    """Samples [n] of `data`, whose length is a whole number of samples."""
    if encoding in _TABLES:
        return _TABLES[encoding][np.frombuffer(data, dtype=np.uint8)]
    if encoding is Encoding.PCM_S16LE:
        return np.multiply(np.frombuffer(data, _I2), _FULL_SCALE, dtype=np.float32)
    if encoding is Encoding.PCM_S24LE:
        return _decode_s24(data)
    if encoding is Encoding.PCM_S32LE:
        wide: NDArray[np.float64] = np.frombuffer(data, dtype="<i4") / 2147483648.0
        return wide.astype(np.float32)
    if encoding is Encoding.PCM_U8:
        return (np.frombuffer(data, dtype=np.uint8).astype(np.float32) - 128) * np.float32(1 / 128)
    return np.frombuffer(data, dtype="<f4").astype(np.float32)


def _decode_s24(data: bytes) -> Float32:
    octets = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3)
    padded = np.zeros((len(octets), 4), dtype=np.uint8)
    padded[:, 1:] = octets  # the sample sits in the high bytes, so its sign is the int32's sign
    return padded.view("<i4").ravel().astype(np.float32) * np.float32(1 / 2147483648)
