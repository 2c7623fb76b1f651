"""The compiler itself, for GPUs that are not here: every kernel fits what a block may have."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("architecture", "parts"), [(80, ["tiled fp32 ieee", "resident fp16 128"])]
)
def test_kernels_compile_within_limits(architecture, parts):
    """In a process of its own: this one has the interpreter's kernels."""
    pytest.importorskip("triton", reason="Triton has no wheel for this platform")
    from surnn.kernels.device.review import SHARED_LIMIT

    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    lines = subprocess.run(
        [sys.executable, "-m", "surnn.kernels.device.review", str(architecture), *parts],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    found = [json.loads(line) for line in lines]
    assert [kernel["name"] for kernel in found] == parts
    for kernel in found:
        assert 0 < kernel["shared_bytes"] <= SHARED_LIMIT[architecture]
        assert 0 < kernel["registers"] <= 255
        assert kernel["spilled_bytes"] <= 256


def test_interpreted_kernels_are_refused():
    pytest.importorskip("triton", reason="Triton has no wheel for this platform")
    from surnn.errors import InvalidConfig
    from surnn.kernels.device.review import compile_variant, variants

    variant = next(variants())
    if "TRITON_INTERPRET" not in os.environ:
        pytest.skip("kernels are compiled here")
    with pytest.raises(InvalidConfig, match="TRITON_INTERPRET is set"):
        compile_variant(variant, 80)
