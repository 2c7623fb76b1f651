"""Checkpoints of a run: written in one move, and read only where they belong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from surnn.errors import InvalidConfig
from surnn.train.config import Training
from surnn.train.resume import read_run, write_run


def test_contents_come_back(tmp_path: Path) -> None:
    contents = {"mean": {"a": torch.arange(3)}, "seconds": 1.5, "history": {"loss": [0.5, 0.25]}}
    write_run(tmp_path / "new" / "run.pt", Training(), contents)
    found = read_run(tmp_path / "new" / "run.pt", Training())
    assert torch.equal(found["mean"]["a"], torch.arange(3))
    assert (found["seconds"], found["history"]) == (1.5, {"loss": [0.5, 0.25]})
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["run.pt"]


def test_a_failed_write_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    write_run(path, Training(), {"seconds": 1.0})
    with pytest.raises(Exception, match="pickle"):
        write_run(path, Training(), {"seconds": lambda: 2.0})
    assert read_run(path, Training())["seconds"] == 1.0


def test_other_settings_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run.pt", Training(), {})
    with pytest.raises(InvalidConfig, match=r"run\.pt: checkpoint of a run with other settings"):
        read_run(tmp_path / "run.pt", Training(seed=2))


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    torch.save({"weights": torch.ones(2)}, path)
    with pytest.raises(InvalidConfig, match="not a checkpoint of a training run of this version"):
        read_run(path, Training())
    for contents in (b"", b"text", path.read_bytes()[:200]):
        path.write_bytes(contents)
        with pytest.raises(InvalidConfig, match=r"run\.pt: not a checkpoint of a training run"):
            read_run(path, Training())
