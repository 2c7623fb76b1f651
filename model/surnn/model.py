"""Finding, checking and opening models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from surnn.encodings import Encoding
from surnn.engine import StreamConfig
from surnn.errors import InvalidConfig, UnknownModel
from surnn.runtimes.base import Runtime
from surnn.runtimes.onnx import OnnxRuntime
from surnn.spec import ModelSpec
from surnn.stream import Stream

__all__ = ["Model", "installed", "load", "locate"]

PRETRAINED = Path(__file__).parent / "pretrained"


class Model:
    """A loaded model: stateless weights, shared by any number of streams."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    @property
    def spec(self) -> ModelSpec:
        """What the model says about itself."""
        return self.runtime.spec

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


def load(name: str | Path = "vad") -> Model:
    """Open a shipped model by name, or any surnn model by path.

    Raises `UnknownModel`, or `CorruptModel` when the file is damaged or not a surnn model.
    """
    return Model(OnnxRuntime(locate(name)))
