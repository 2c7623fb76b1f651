"""Kernels compiled for a processor without AVX-512: other code, the reference's numbers."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

_CHILD = """
import json
import numpy as np
from surnn.bench.patterns import GROUPS, open_switches, words
from surnn.bench.layer import BenchLayer
from surnn.bench.peers import random_weights
from surnn.kernels import reference
from surnn.kernels.cache import instruction_set

weights = random_weights(20, 32)
x = np.random.default_rng(0).standard_normal((40, 20)).astype(np.float32)
errors = {}
for switch, group in GROUPS.items():
    layer = BenchLayer(weights, switch, 0.2, 1)
    opened = open_switches(40, 32, group, 0.2)
    out = np.zeros((40, 32), np.float32)
    layer.run(words(opened), x, out, np.zeros((40, 0), np.float32))
    (exact,) = reference.layer(x, opened, (np.zeros(32, np.float32),), weights)
    errors[layer.kernel] = float(np.abs(out - exact).max())
print(json.dumps({"path": instruction_set(), "opened": int(opened.sum()), "errors": errors}))
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86 alone has AVX2")
def test_a_processor_with_avx2_alone(tmp_path: Path) -> None:
    environment = os.environ | {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+fma"
        ",+bmi,+bmi2,+lzcnt,+f16c",
        "SURNN_KERNEL_CACHE": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", _CHILD], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["path"] == "avx2"
    assert seen["opened"] > 0
    assert set(seen["errors"]) == {"row", "block8", "block16"}
    assert all(0.0 < error < 1e-6 for error in seen["errors"].values()), seen
