"""Without a GPU, Triton's kernels run in its interpreter; that is decided at the first import."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest


def _has_gpu() -> bool:
    if not Path("/dev/nvidiactl").exists():
        return False
    import torch

    return torch.cuda.is_available()


HAS_GPU = _has_gpu()
if not HAS_GPU:
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_report_header() -> str:
    if find_spec("triton") is None:
        return "GPU kernels: SKIPPED, Triton is not installed (it has wheels for Linux only)"
    return "GPU kernels: compiled" if HAS_GPU else "GPU kernels: no GPU, in Triton's interpreter"


@pytest.fixture(params=[pytest.param("cuda", marks=pytest.mark.gpu) if HAS_GPU else "cpu"])
def device(request: pytest.FixtureRequest) -> str:
    """Where kernels run: compiled on a GPU if there is one, else interpreted."""
    pytest.importorskip("triton", reason="Triton is not installed: it has wheels for Linux only")
    return str(request.param)
