"""Small models of any layers, for tests of every part; where kernels for GPUs run."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from surnn.spec import Head, LayerSpec, ModelKind, ModelSpec, ScaleFrontEnd


def _has_gpu() -> bool:
    if not Path("/dev/nvidiactl").exists():
        return False
    import torch

    return torch.cuda.is_available()


HAS_GPU = _has_gpu()
if not HAS_GPU:
    # Triton decides at its first import whether kernels are compiled or interpreted.
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


@pytest.fixture(scope="session")
def stack_spec() -> Callable[..., ModelSpec]:
    """A sensor model of three channels with these layers."""

    def make(*layers: LayerSpec, head: Head = Head.SOFTMAX) -> ModelSpec:
        return ModelSpec(
            name="stack",
            kind=ModelKind.SENSOR,
            sample_rate=100,
            hop=1,
            channels=3,
            frontend=ScaleFrontEnd(mean=(0.0, 1.0, 2.0), scale=(1.0, 0.5, 2.0)),
            layers=layers,
            labels=("a", "b", "c"),
            head=head,
        )

    return make
