"""Files that lie, by the hundred thousand: read in bounded memory or refused with a reason."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from surnn.audiofile import AudioFile
from surnn.runtimes.onnxfile import check_onnx
from surnn.sensorfile import SensorFile

KINDS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "IMA_ADPCM"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("AIFF", "PCM_16"),
    ("AU", "ULAW"),
]
# A byte of a header may make more of what is there, as eight bits instead of sixteen; no more.
MOST_SAMPLES = 4096 * 20_000 + (1 << 20)


@pytest.fixture(scope="module")
def recordings():
    """Short: their headers are what decides."""
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (400, 2))
    result = []
    for format, subtype in KINDS:
        file = io.BytesIO()
        soundfile.write(file, noise, 16_000, format=format, subtype=subtype)
        result.append(file.getvalue())
    return result


def test_audio_headers(campaigns, recordings):
    def make(chance):
        data = chance.choice(recordings)
        return data if chance.random() < 0.02 else campaigns.spoil(chance, data)

    def read(data):
        total = 0
        with AudioFile(("a.bin", io.BytesIO(data))) as audio:
            for block in audio.blocks(seconds=2.0):
                assert block.dtype == np.float32
                assert block.size <= 1 << 24
                total += block.size
                assert total <= MOST_SAMPLES
        return "read"

    # libsndfile loses about 1 KB at each damaged Ogg file and some at damaged FLAC files, also
    # when they are only opened and closed.
    campaigns.run("audio files", 0.1, make, read, leak=1000)


def test_sensor_tables(campaigns):
    file = io.BytesIO()
    np.save(file, np.zeros((20, 3), np.float32))
    sources = [("a.npy", file.getvalue())]
    sources += [
        (f"{i}.csv", text.encode())
        for i, text in enumerate(
            ("x,y,z\n1,2,3\n4,5,6\n", "1;2;3\n4;5;6\n", "t\tx\n0.1\t1e3\n", '"a","b"\n"1","2"\n')
        )
    ]

    def make(chance):
        name, data = chance.choice(sources)
        return name, data if chance.random() < 0.02 else campaigns.spoil(chance, data)

    def read(given):
        name, data = given
        with SensorFile((name, io.BytesIO(data))) as sensor:
            assert sum(len(block) for block in sensor.blocks()) <= 8 * len(data) + 8
        return "read"

    campaigns.run("sensor tables", 0.06, make, read)


def test_model_files(campaigns, model_bytes):
    def make(chance):
        if chance.random() < 0.05:
            return model_bytes
        return campaigns.spoil(chance, model_bytes, 8)

    def check(data):
        check_onnx(data, "m")
        return "read"

    campaigns.run("model files", 0.02, make, check)


@pytest.fixture(scope="module")
def model_bytes():
    """A small graph; what is checked before a runtime sees it does not depend on its size."""
    import onnx
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "g", [x], [y])
    return onnx.helper.make_model(graph).SerializeToString()
