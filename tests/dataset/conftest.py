"""Small folders of recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture
def audio(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of quiet noise into the test's folder."""

    def make(name: str, seconds: float = 2.0, rate: int = 16_000) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = 0.01 * np.random.default_rng(0).standard_normal(round(seconds * rate))
        soundfile.write(path, noise, rate)
        return path

    return make
