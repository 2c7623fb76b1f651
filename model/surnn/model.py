"""Finding, checking and opening models."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from pydantic import ValidationError

from surnn.encodings import Encoding
from surnn.engine import StreamConfig
from surnn.errors import InvalidConfig, UnknownModel
from surnn.runtimes.base import Runtime
from surnn.runtimes.onnx import OnnxRuntime
from surnn.runtimes.support import runs_natively
from surnn.spec import ModelSpec
from surnn.stream import Stream

__all__ = ["RUNTIMES", "Model", "installed", "load", "locate"]

RUNTIMES = ("auto", "cuda", "host", "native", "onnx")
"""Names that `load` takes for its runtime."""

_CUDA_DRIVER = Path("/dev/nvidiactl")
"""What NVIDIA's driver makes on every machine with a GPU, in containers too."""

PRETRAINED = Path(__file__).parent / "pretrained"


class Model:
    """A loaded model: stateless weights, shared by any number of streams."""

    def __init__(self, runtime: Runtime, path: Path | None = None) -> None:
        self.runtime = runtime
        self.path = path
        """The .onnx file that it was found by, if it was loaded."""

    @property
    def spec(self) -> ModelSpec:
        """What the model says about itself."""
        return self.runtime.spec

    def on_host(self) -> Model:
        """The same weights on the CPU: takes over when a device is lost.

        Raises `InvalidConfig` if the model was not loaded from a file, or what `load` raises.
        """
        if self.path is None:
            raise InvalidConfig("model was not loaded from a file, expected one that was")
        return load(self.path, runtime="host")

    def stream(
        self,
        *,
        sample_rate: int | None = None,
        encoding: Encoding | str = Encoding.PCM_S16LE,
        channels: int | None = None,
        thresholds: Mapping[str, Mapping[str, float]] | None = None,
        start_frame: int = 0,
    ) -> Stream:
        """Start a stream (see `StreamConfig`). Raises `InvalidConfig`."""
        return Stream(
            self.runtime,
            StreamConfig(
                sample_rate=sample_rate,
                encoding=parse_encoding(encoding),
                channels=channels,
                thresholds=thresholds or {},
                start_frame=start_frame,
            ),
        )


def parse_encoding(name: str) -> Encoding:
    """The encoding of that name. Raises `InvalidConfig` naming the choices."""
    try:
        return Encoding(name)
    except ValueError:
        raise InvalidConfig(
            f"encoding is {name!r}, expected one of {[e.value for e in Encoding]}"
        ) from None


def installed(directory: Path = PRETRAINED) -> dict[str, Path]:
    """Models in a directory: name → its .onnx file."""
    return {path.parent.name: path for path in sorted(directory.glob("*/model.onnx"))}


def locate(name: str | Path) -> Path:
    """The .onnx file of a shipped model's name, a model folder or a file.

    Raises `UnknownModel` naming the shipped models.
    """
    known = installed()
    if str(name) in known:
        return known[str(name)]
    path = Path(name)
    for candidate in (path, path / "model.onnx"):
        if candidate.is_file() and candidate.suffix == ".onnx":
            return candidate
    raise UnknownModel(
        f"no model {str(name)!r}, expected one of {sorted(known)} or the path of an .onnx file"
    )


def load(name: str | Path = "vad", runtime: str = "auto") -> Model:
    """Open a shipped model by name, or any surnn model by path.

    Args:
        name: a shipped model, a model folder or an .onnx file.
        runtime: `cuda` (a GPU; needs the `gpu` extra), `native` (compiled kernels that skip closed
            neurons; needs the `native` extra), `onnx`, `host` (native where it is installed, the
            weights lie beside the graph and it has kernels for the model's cells, else onnx), or
            `auto` (cuda where there is a GPU and the extra, else host).

    Raises `UnknownModel`, `CorruptModel` when a file is damaged or not a surnn model,
    `InvalidConfig` for an unknown runtime or one without kernels for the model's cells,
    `MissingDependency` when the extra of `cuda` or `native` is not installed.
    """
    if runtime not in RUNTIMES:
        raise InvalidConfig(f"runtime is {runtime!r}, expected one of {list(RUNTIMES)}")
    path = locate(name)
    if runtime == "cuda" or (runtime == "auto" and _can_run_on_cuda(path.parent)):
        from surnn.runtimes.cuda import CudaRuntime

        return Model(CudaRuntime.open(path.parent), path)
    if runtime == "native" or (runtime in ("auto", "host") and _can_run_natively(path.parent)):
        from surnn.runtimes.native import NativeRuntime

        return Model(NativeRuntime.open(path.parent), path)
    return Model(OnnxRuntime(path), path)


def _can_run_on_cuda(directory: Path) -> bool:
    """Importing torch takes seconds: only where its extra is installed and a driver is there."""
    packages = all(find_spec(package) for package in ("torch", "triton", "safetensors"))
    if not (packages and (directory / "model.safetensors").is_file() and _CUDA_DRIVER.exists()):
        return False
    import torch

    return torch.cuda.is_available()


def _can_run_natively(directory: Path) -> bool:
    spec_file = directory / "spec.json"
    if not (directory / "model.safetensors").is_file() or not spec_file.is_file():
        return False
    if not all(find_spec(package) for package in ("numba", "safetensors")):
        return False
    try:
        return runs_natively(ModelSpec.model_validate_json(spec_file.read_text(encoding="utf-8")))
    except (ValidationError, UnicodeDecodeError):
        return True  # the runtime says what is wrong with it
