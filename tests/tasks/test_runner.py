"""Whole runs, of a second each: from options to a record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from surnn.errors import InvalidConfig, SurnnError
from surnn.spec import Cell, SwitchMode
from surnn.tasks.adding import Adding
from surnn.tasks.records import read_records
from surnn.tasks.registry import Settings
from surnn.tasks.runner import RunOptions, build_config, run_task
from surnn.train.task import Batch

Make = Callable[..., RunOptions]
FIGURES = ("score", "open_rate", "layers", "parameters", "steps", "recall")


def figures(record: object) -> list[object]:
    """What does not depend on the clock."""
    return [getattr(record, name) for name in FIGURES]


def test_a_run_leaves_its_record(tmp_path: Path, small_run: Make) -> None:
    record = run_task("adding", small_run(out=tmp_path / "run.json", command="surnn tasks run"))
    assert read_records(tmp_path) == [record]
    assert (record.task, record.length, record.steps, record.command) == (
        "adding",
        20,
        12,
        "surnn tasks run",
    )
    (layer,) = record.layers
    assert (layer.cell, layer.hidden, layer.switch) == ("sugru", 8, "input")
    assert layer.dead is not None
    assert record.score.reached is False
    assert record.config["budget"]["steps"] == 12
    assert record.parameters > 3 * 8 * 8


def test_the_same_command_gives_the_same_figures(small_run: Make) -> None:
    first, again = (figures(run_task("adding", small_run())) for _ in range(2))
    assert first == again
    assert figures(run_task("adding", small_run(seed=2))) != first


def test_a_run_that_was_cut_off_ends_like_one_that_was_not(
    tmp_path: Path, small_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off at step 10, two steps behind the last checkpoint."""
    whole = figures(run_task("adding", small_run()))
    batch = Adding.batch

    def cut(self: Adding, number: int) -> Batch:
        if number == 10:
            raise OSError("power is gone")
        return batch(self, number)

    file = tmp_path / "run.pt"
    with monkeypatch.context() as patch:
        patch.setattr(Adding, "batch", cut)
        with pytest.raises(OSError, match="power is gone"):
            run_task("adding", small_run(checkpoint=file))
    asked: list[int] = []
    monkeypatch.setattr(Adding, "batch", lambda self, n: asked.append(n) or batch(self, n))
    assert figures(run_task("adding", small_run(checkpoint=file))) == whole
    assert asked == [8, 9, 10, 11]


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path, small_run: Make) -> None:
    file = tmp_path / "run.pt"
    run_task("adding", small_run(checkpoint=file))
    with pytest.raises(InvalidConfig, match=r"run\.pt: checkpoint of a run with other settings"):
        run_task("adding", small_run(checkpoint=file, seed=2))
    file.write_bytes(b"no checkpoint")
    with pytest.raises(InvalidConfig, match=r"run\.pt: not a checkpoint of a training run"):
        run_task("adding", small_run(checkpoint=file))


@pytest.mark.parametrize(
    ("options", "switch"),
    [
        ({"switch": SwitchMode.CLOCK, "changes": {"switches.frozen": True}}, "clock frozen"),
        ({"changes": {"switches.soft": True}}, "input soft"),
        ({"changes": {"switches.every": 4}}, "every 4"),
        ({"cells": (Cell.GRU,)}, "none"),
        ({"switch": SwitchMode.NONE}, "none"),
    ],
)
def test_rows_of_the_ablation_run(small_run: Make, options: dict[str, object], switch: str) -> None:
    record = run_task("adding", small_run(**options))
    assert record.layers[0].switch == switch
    if switch == "every 4":
        assert record.open_rate == pytest.approx(0.25, abs=0.01)
    if switch == "none":
        assert record.open_rate == 1.0
    if switch == "input soft":
        assert 0.1 < record.open_rate < 0.9, "the mean of gates"


def test_hybrids_of_every_cell_run(small_run: Make) -> None:
    record = run_task("adding", small_run(cells=tuple(Cell)))
    assert [layer.cell for layer in record.layers] == [cell.value for cell in Cell]


def test_mixed_precision_learns_nearly_the_same(small_run: Make) -> None:
    full, mixed = (
        run_task("adding", small_run(changes={"budget.precision": precision})).score.test
        for precision in ("float32", "bfloat16")
    )
    assert mixed != full
    assert mixed == pytest.approx(full, rel=0.05)


def test_soft_switches_are_not_published(tmp_path: Path, small_run: Make) -> None:
    with pytest.raises(InvalidConfig, match="soft switches cannot be served"):
        run_task("adding", small_run(model_out=tmp_path, changes={"switches.soft": True}))


def test_a_trained_model_can_be_served(tmp_path: Path, small_run: Make) -> None:
    from surnn import load

    run_task("adding", small_run(model_out=tmp_path / "model", cells=(Cell.SUGRU, Cell.LRU)))
    model = load(tmp_path / "model")
    assert model.spec.metrics["open_rate"] > 0
    assert [layer.cell for layer in model.spec.layers] == [Cell.SUGRU, Cell.LRU]


def test_a_diverging_run_ends_in_one_error(
    small_run: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    batch = Adding.batch

    def absurd(self: Adding, number: int) -> Batch:
        found = batch(self, number)
        return Batch(found.frames, found.targets * 1e30, found.weights)

    monkeypatch.setattr(Adding, "batch", absurd)
    with pytest.raises(SurnnError, match="loss is inf at step 1, expected a finite number"):
        run_task("adding", small_run(out=tmp_path / "run.json"))
    assert not (tmp_path / "run.json").exists()


def test_paper_settings_want_a_gpu(small_run: Make) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InvalidConfig, match="device is 'cuda', but torch finds no GPU"):
        run_task("adding", small_run(settings=Settings.PAPER))


def test_options_shape_the_settings() -> None:
    config = build_config(
        "recall",
        RunOptions(
            cells=(Cell.SULSTM, Cell.LRU), hidden=7, open_rate=0.3, switch=SwitchMode.CLOCK_INPUT
        ),
    )
    first, second = config.layers
    assert (first.cell, first.hidden, first.switch.open_rate) == (Cell.SULSTM, 7, 0.3)
    assert first.switch.mode is SwitchMode.CLOCK_INPUT
    assert (second.cell, second.switch.mode) == (Cell.LRU, SwitchMode.NONE)
