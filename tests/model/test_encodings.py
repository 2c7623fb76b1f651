"""Decoding compared with libsndfile, which has its own PCM and G.711 codecs."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from surnn.encodings import Encoding, decode

SUBTYPES = {
    Encoding.PCM_S16LE: "PCM_16",
    Encoding.PCM_S24LE: "PCM_24",
    Encoding.PCM_S32LE: "PCM_32",
    Encoding.PCM_F32LE: "FLOAT",
    Encoding.PCM_U8: "PCM_U8",
    Encoding.MULAW: "ULAW",
    Encoding.ALAW: "ALAW",
    Encoding.F32LE: "FLOAT",
}


def payload(samples: np.ndarray, subtype: str) -> tuple[bytes, np.ndarray]:
    """The bytes that libsndfile writes for these samples, and what it reads back."""
    out = io.BytesIO()
    soundfile.write(out, samples, 8000, format="WAV", subtype=subtype)
    data = out.getvalue()
    begin = data.index(b"data") + 8
    size = int.from_bytes(data[begin - 4 : begin], "little")
    back, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    return data[begin : begin + size], back


@pytest.mark.parametrize("encoding", list(Encoding))
def test_decodes_as_libsndfile_does(encoding: Encoding) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, 4000)
    samples[:4] = [0.0, 1.0, -1.0, 1e-4]
    data, expected = payload(samples, SUBTYPES[encoding])
    assert len(data) == 4000 * encoding.width
    np.testing.assert_array_equal(decode(data, encoding), expected)


@pytest.mark.parametrize("encoding", [Encoding.MULAW, Encoding.ALAW, Encoding.PCM_U8])
def test_every_code_decodes_as_libsndfile_does(encoding: Encoding) -> None:
    codes = bytes(range(256))
    back, _ = soundfile.read(
        io.BytesIO(codes),
        dtype="float32",
        samplerate=8000,
        channels=1,
        format="RAW",
        subtype=SUBTYPES[encoding],
    )
    np.testing.assert_array_equal(decode(codes, encoding), back)


def test_g711_known_codes() -> None:
    # ITU-T G.711, tables 1 and 2: the largest magnitudes, and the smallest.
    mulaw = decode(bytes([0x00, 0x80, 0xFF, 0x7F]), Encoding.MULAW) * 32768
    np.testing.assert_array_equal(mulaw, [-32124, 32124, 0, 0])
    alaw = decode(bytes([0x2A, 0xAA, 0xD5, 0x55]), Encoding.ALAW) * 32768
    np.testing.assert_array_equal(alaw, [-32256, 32256, 8, -8])


@pytest.mark.parametrize("encoding", list(Encoding))
def test_no_bytes_are_no_samples(encoding: Encoding) -> None:
    samples = decode(b"", encoding)
    assert samples.shape == (0,)
    assert samples.dtype == np.float32


@given(st.binary(max_size=300), st.sampled_from(list(Encoding)))
def test_any_whole_bytes_decode_to_one_float32_for_each_sample(
    data: bytes, encoding: Encoding
) -> None:
    data = data[: len(data) - len(data) % encoding.width]
    samples = decode(data, encoding)
    assert samples.dtype == np.float32
    assert len(samples) == len(data) // encoding.width
    if encoding not in (Encoding.PCM_F32LE, Encoding.F32LE):
        assert np.all(np.abs(samples) <= 1.0)


def test_24_bit_keeps_sign_and_last_bit() -> None:
    values = [-(2**23), -1, 0, 1, 2**23 - 1]
    data = b"".join(v.to_bytes(3, "little", signed=True) for v in values)
    np.testing.assert_array_equal(
        decode(data, Encoding.PCM_S24LE), np.array(values, np.float64) / 2**23
    )
