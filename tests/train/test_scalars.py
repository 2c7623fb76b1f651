"""Curves for TensorBoard: what is written, and a clear word where it is missing."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from surnn.errors import MissingDependency
from surnn.train import train
from surnn.train.scalars import Scalars


def test_curves_are_written_by_step(
    world: Path, voice_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, int]] = []
    closed: list[str] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            self.folder = folder

        def add_scalar(self, name: str, value: float, step: int) -> None:
            assert isinstance(float(value), float)
            written.append((name, step))

        def close(self) -> None:
            closed.append(self.folder)

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    train(voice_toml, world, tmp_path / "out", tensorboard=tmp_path / "board", progress=False)
    assert [s for n, s in written if n == "train/loss"] == [1, 2, 3, 4, 5, 6]
    assert {"train/open_rate", "train/learning_rate", "valid/score"} <= {n for n, _ in written}
    assert ("valid/score", 6) in written
    assert closed == [str(tmp_path / "board")]


def test_without_tensorboard_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependency, match=r"pip install 'surnn\[tensorboard\]'"):
        Scalars(tmp_path)
