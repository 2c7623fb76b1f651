"""Trained weights on disk: `model.safetensors` and, beside it, `spec.json`."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from surnn.errors import CorruptModel, UnknownModel
from surnn.nn import Network
from surnn.spec import ModelSpec

__all__ = ["SPEC_FILE", "WEIGHTS_FILE", "load", "save"]

SPEC_FILE = "spec.json"
WEIGHTS_FILE = "model.safetensors"


def save(network: Network, directory: Path) -> None:
    """Write weights and spec into a directory, made if missing."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = {name: w.detach().contiguous() for name, w in network.state_dict().items()}
    save_file(weights, directory / WEIGHTS_FILE)
    (directory / WEIGHTS_FILE).chmod(0o644)  # safetensors gives it to its owner alone
    (directory / SPEC_FILE).write_text(network.spec.model_dump_json(indent=2) + "\n")


def load(directory: Path) -> Network:
    """The network saved in a directory, ready to run.

    Raises `UnknownModel` when a file is missing, `CorruptModel` when one does not fit.
    """
    for name in (SPEC_FILE, WEIGHTS_FILE):
        if not (directory / name).is_file():
            raise UnknownModel(f"{directory.name} holds no {name}, expected a saved model")
    try:
        spec = ModelSpec.model_validate_json((directory / SPEC_FILE).read_text())
        weights = load_file(directory / WEIGHTS_FILE)
    except (ValidationError, SafetensorError) as error:
        raise CorruptModel(f"{directory.name} cannot be read: {error}") from error
    network = Network(spec)
    expected = {name: tuple(w.shape) for name, w in network.state_dict().items()}
    seen = {name: tuple(w.shape) for name, w in weights.items()}
    if seen != expected:
        wrong = sorted(k for k in seen.keys() | expected.keys() if seen.get(k) != expected.get(k))
        raise CorruptModel(
            f"{directory.name}: weights {wrong} are {[seen.get(k) for k in wrong]}, "
            f"expected {[expected.get(k) for k in wrong]}"
        )
    network.load_state_dict(weights)
    return network.eval().requires_grad_(requires_grad=False)
