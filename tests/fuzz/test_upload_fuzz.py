"""Files that lie: damaged headers, cut ends, claims of years. Bounded work, and a reason."""

from __future__ import annotations

import functools
import io

import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st

from surnn.audiofile import AudioFile
from surnn.errors import CorruptModel, SurnnError
from surnn.runtimes.onnxfile import check_onnx
from surnn.sensorfile import SensorFile

SECONDS, RATE = 0.25, 16_000
# A byte of a header may make more of what is there, as eight bits instead of sixteen; no more.
MOST_SAMPLES = 4096 * 20_000 + (1 << 20)


@functools.cache
def _recording(kind):
    format, subtype = kind
    file = io.BytesIO()
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (int(RATE * SECONDS), 2))
    soundfile.write(file, noise, RATE, format=format, subtype=subtype)
    return file.getvalue()


KINDS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "IMA_ADPCM"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("AIFF", "PCM_16"),
    ("AU", "ULAW"),
]
# Most changes hit the header, where they matter.
EDITS = st.lists(
    st.tuples(
        st.integers(0, 120) | st.integers(0, 5000),
        st.binary(min_size=1, max_size=8)
        | st.sampled_from([b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"\x00\x00\x00\x80"]),
    ),
    max_size=6,
)


def _spoilt(data, edits, cut):
    data = bytearray(data)
    for place, new in edits:
        place %= max(1, len(data))
        data[place : place + len(new)] = new
    return bytes(data[: len(data) - cut % len(data)])


def _refusal(action):
    """The error that the action ends with, if it is one that callers have to expect."""
    try:
        action()
    except SurnnError as error:
        return error
    return None


def _read(data, name):
    """How many samples are in it. Raises what a caller has to expect, and nothing else."""
    total = 0
    with AudioFile((name, io.BytesIO(data))) as audio:
        assert audio.channels >= 1
        for block in audio.blocks(seconds=2.0):
            assert block.dtype == np.float32
            assert block.ndim == 2
            assert block.size <= 1 << 24
            total += block.size
            if total > MOST_SAMPLES:
                pytest.fail(f"{total} samples from {len(data)} bytes")
    return total


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
@given(edits=EDITS, cut=st.just(0) | st.integers(0, 20_000))
@example(edits=[], cut=0)
@example(edits=[(24, b"\xff\xff\xff\x7f")], cut=0)
@example(edits=[(22, b"\xff\xff")], cut=0)
@example(edits=[(40, b"\xff\xff\xff\x7f")], cut=0)
@example(edits=[(21, b"\x0f\xff\xff\xff\xff")], cut=0)
def test_spoilt_audio_is_read_or_refused(kind, edits, cut):
    data = _spoilt(_recording(kind), edits, cut)
    error = _refusal(lambda: _read(data, "a.bin"))
    if error is not None:
        assert error.code == "invalid_audio"
        assert str(error).startswith("a.bin")
        assert len(str(error)) < 500


@given(data=st.binary(max_size=200), kind=st.sampled_from([b"RIFF", b"fLaC", b"OggS", b"FORM"]))
def test_junk_behind_a_known_beginning_is_refused(data, kind):
    with pytest.raises(SurnnError):
        _read(kind + data, "a.bin")


@given(
    head=st.sampled_from(["NPY", ""]),
    edits=EDITS,
    cut=st.just(0) | st.integers(0, 1000),
    text=st.text(alphabet="0123456789,;.-e\t\n\"' naif\u00e4", max_size=200),
)
def test_tables_and_arrays_are_read_or_refused(head, edits, cut, text):
    if head:
        file = io.BytesIO()
        np.save(file, np.zeros((50, 3), np.float32))
        name, data = "a.npy", _spoilt(file.getvalue(), edits, cut)
    else:
        name, data = "a.csv", text.encode()

    def read():
        with SensorFile((name, io.BytesIO(data))) as sensor:
            assert sum(len(block) for block in sensor.blocks()) <= 8 * len(data)

    error = _refusal(read)
    assert error is None or error.code == "invalid_audio"


@given(data=st.binary(max_size=400))
def test_any_bytes_are_looked_into_or_refused_as_a_model(data):
    error = _refusal(lambda: check_onnx(data, "model"))
    assert error is None or isinstance(error, CorruptModel)
