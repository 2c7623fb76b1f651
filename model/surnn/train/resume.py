"""Checkpoints of a training run, from which it goes on as if nothing had happened.

Not the weights of a finished model (that is `surnn.checkpoint`), but everything that the next step
depends on: weights and their running mean, the optimiser's moments, the random generators, carried
states, the best network so far, and the history.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from surnn.errors import InvalidConfig
from surnn.train.config import Training

__all__ = ["read_run", "write_run"]

_FORMAT = 1


def write_run(path: Path, config: Training, contents: dict[str, Any]) -> None:
    """Write a checkpoint, in one move: a run killed meanwhile leaves the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    torch.save({"format": _FORMAT, "config": config.model_dump_json(), **contents}, partial)
    os.replace(partial, path)


def read_run(path: Path, config: Training) -> dict[str, Any]:
    """What `write_run` wrote for the same config.

    Raises `InvalidConfig` when the file is no checkpoint, or one of a run with other settings.
    """
    # torch takes what is no archive for its first format, which fails in any way on other files.
    if not zipfile.is_zipfile(path):
        raise InvalidConfig(f"{path}: not a checkpoint of a training run")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        raise InvalidConfig(f"{path}: not a checkpoint of a training run: {error}") from None
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise InvalidConfig(f"{path}: not a checkpoint of a training run of this version")
    if found["config"] != config.model_dump_json():
        raise InvalidConfig(f"{path}: checkpoint of a run with other settings than these")
    return found
