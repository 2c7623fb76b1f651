"""Runtimes side by side: differences are found, and the shipped models show none to speak of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from surnn import load
from surnn.errors import InvalidConfig
from surnn.model import locate
from surnn.parity import compare, frames_of
from surnn.runtimes.native import NativeRuntime
from surnn.runtimes.onnx import OnnxRuntime


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Three seconds, stereo, at a rate that is not the model's."""
    path = tmp_path / "noise.wav"
    noise = np.random.default_rng(0).normal(0.0, 0.1, (24_000, 2))
    soundfile.write(path, noise, 8_000)
    return path


def test_native_equals_onnx_on_a_recording(recording: Path) -> None:
    native, onnx = (load("vad", runtime=name).runtime for name in ("native", "onnx"))
    found = compare(native, onnx, frames_of(native.spec, [recording, recording]), most=550)
    assert found.frames == 550
    assert found.gates == 0
    assert 0.0 < found.probs < 1e-5
    assert 0.0 < found.state < 1e-4


def test_differences_are_found() -> None:
    onnx = OnnxRuntime(locate("vad"))
    shifted = OnnxRuntime(locate("vad"))
    pool_of = shifted.new_pool

    def late(capacity: int) -> object:
        pool = pool_of(capacity)
        acquire = pool.acquire

        def ahead() -> object:
            slot = acquire()
            pool.arrays["t"][:] = 7  # a clock that is ahead
            return slot

        pool.acquire = ahead  # type: ignore[method-assign,assignment]
        return pool

    shifted.new_pool = late  # type: ignore[assignment]
    frames = np.random.default_rng(1).normal(0.0, 0.1, (50, 160)).astype(np.float32)
    found = compare(onnx, shifted, [frames])
    assert found.gates > 0
    assert found.probs > 1e-5
    assert found.state > 1.0


def test_other_weights_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="expected the same"):
        compare(
            NativeRuntime.open(locate("vad").parent),
            OnnxRuntime(locate("activity")),
            [],
        )
