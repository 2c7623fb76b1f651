"""Where models come from: names given at the start, or a folder that is watched.

Of the folder: what is in it, which version counts, and whether a file may be trusted.

NAME/VERSION/model.onnx    versions side by side, of which the highest is served
NAME/model.onnx            one version
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import surnn
from surnn.errors import CorruptModel, SurnnError
from surnn.runtimes.onnx import OnnxRuntime

__all__ = ["Candidate", "Stamp", "find_candidates", "load_models", "open_candidate"]

Stamp = tuple[int, int, int]

_FILE = "model.onnx"
_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,63}$")
_MAX_STATE_BYTES = 1 << 20
"""What one stream may remember: the server holds this for each of its slots."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model file that could be served."""

    name: str
    path: Path
    stamp: Stamp
    """Changes when the file does."""


def load_models(names: tuple[str, ...]) -> dict[str, surnn.Model]:
    """The models to serve, by the names that their specs give. Raises what `surnn.load` raises."""
    models: dict[str, surnn.Model] = {}
    for source in names or tuple(surnn.installed()):
        model = surnn.load(source)
        if model.spec.name in models:
            raise ValueError(f"two models are called {model.spec.name!r}, expected distinct names")
        models[model.spec.name] = model
    return models


def find_candidates(folder: Path) -> dict[str, Candidate]:
    """The file that counts for each name. Raises `OSError` when the folder cannot be read."""
    found: dict[str, Candidate] = {}
    root = folder.resolve()
    for place in sorted(folder.iterdir()):
        if not _NAME.match(place.name):
            continue
        flat = place / _FILE
        versions = sorted(
            (path for path in place.glob(f"*/{_FILE}")), key=lambda path: _order(path.parent.name)
        )
        for path in [*reversed(versions), flat]:
            stamp = _stamp(path)
            # A link out of the folder is somebody else's file.
            if stamp is not None and path.resolve().is_relative_to(root):
                found[place.name] = Candidate(place.name, path, stamp)
                break
    return found


def open_candidate(candidate: Candidate, max_bytes: int) -> surnn.Model:
    """The model in a file. Raises `CorruptModel` without the path of the file."""
    label = f"model {candidate.name!r}"
    size = candidate.stamp[1]
    if size > max_bytes:
        raise CorruptModel(f"{label} has {size} bytes, expected at most {max_bytes}")
    try:
        with candidate.path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise CorruptModel(f"{label} cannot be read: {error.strerror}") from None
    if len(data) > max_bytes:
        raise CorruptModel(f"{label} has more than {max_bytes} bytes, expected fewer")
    try:
        runtime = OnnxRuntime(data)
    except SurnnError as error:
        raise CorruptModel(f"{label}: {error}") from None
    if runtime.spec.name != candidate.name:
        raise CorruptModel(
            f"{label} calls itself {runtime.spec.name!r}, expected the name of its folder"
        )
    state = sum(item.nbytes for item in runtime.spec.states)
    if state > _MAX_STATE_BYTES:
        raise CorruptModel(
            f"{label} remembers {state} bytes for each stream, expected at most {_MAX_STATE_BYTES}"
        )
    return surnn.Model(runtime)


def _order(version: str) -> list[tuple[int, int, str]]:
    """10 comes after 9."""
    parts = re.split(r"(\d+)", version)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts if part]


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
