"""The training loop, on a task that a tiny network learns in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from surnn.cells import Cell
from surnn.errors import InvalidAudio, SurnnError
from surnn.nn import Network
from surnn.spec import BlockSpec, Head, LayerSpec, ModelKind, ModelSpec, ScaleFrontEnd, SwitchSpec
from surnn.train.config import Config, Optimiser, read_config
from surnn.train.loop import fit, learning_rate
from surnn.train.task import Batch, Report


class SignTask:
    """Is the number positive? One channel, one label."""

    def __init__(self, *layers: LayerSpec) -> None:
        self.spec = ModelSpec(
            name="sign",
            kind=ModelKind.SENSOR,
            sample_rate=100,
            hop=1,
            frontend=ScaleFrontEnd(mean=(0.0,), scale=(1.0,)),
            layers=layers or (LayerSpec(hidden=8, switch=SwitchSpec(open_rate=0.6)),),
            labels=("positive",),
            head=Head.SIGMOID,
        )
        self.asked: list[int] = []
        self.validated = 0

    def batch(self, number: int) -> Batch:
        self.asked.append(number)
        rng = np.random.default_rng(number)
        frames = torch.from_numpy(rng.standard_normal((8, 1, 1), dtype=np.float32))
        frames = frames.expand(8, 12, 1).contiguous()
        return Batch(frames, (frames > 0).float(), torch.ones(8, 12))

    def validate(self, network: Network, *, final: bool = False) -> Report:
        self.validated += 1
        batch = self.batch(10_000)
        with torch.no_grad():
            called = network(batch.frames).logits > 0
        right = (called == batch.targets.bool())[:, 6:].float().mean().item()
        return Report(score=right, summary=f"{right:.2f}", figures={})

    def finished_spec(self, network: Network, report: Report) -> ModelSpec:
        return network.spec

    def licences(self) -> list[dict[str, str]]:
        return []


@pytest.fixture
def config(activity_toml: Path) -> Config:
    found = read_config(activity_toml)
    budget = found.budget.model_copy(update={"steps": 60, "batch": 8, "validate_steps": 20})
    optimiser = Optimiser(lr=3e-2, switch_lr=1e-3, average=0.8)
    loss = found.loss.model_copy(update={"class_weights": None, "open_weight": 0.0})
    return found.model_copy(update={"budget": budget, "optimiser": optimiser, "loss": loss})


def test_it_learns_and_keeps_the_best(config: Config) -> None:
    task, kept = SignTask(), []
    found = fit(task, config, progress=False, keep=lambda _, report: kept.append(report.score))
    assert found.report.score > 0.9
    assert found.history.loss[-1] < 0.5 * found.history.loss[0]
    assert kept == sorted(set(kept)), "only improvements are kept"
    assert kept[-1] == found.report.score == task.validate(found.network).score
    assert found.history.valid_steps == [20, 40, 60]
    assert (len(found.history.steps), found.history.clips) == (60, 480)


def test_clips_begin_at_any_frame_number_or_all_at_0(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    run = Network.forward

    def watched(self: Network, *args: object, **kwargs: dict[str, torch.Tensor]) -> object:
        if "state" in kwargs:
            seen.extend(kwargs["state"]["t"].tolist())
        return run(self, *args, **kwargs)

    monkeypatch.setattr(Network, "forward", watched)
    for random, numbers in ((True, 480), (False, 1)):
        seen.clear()
        budget = config.budget.model_copy(update={"random_start": random})
        fit(SignTask(), config.model_copy(update={"budget": budget}), progress=False)
        assert len(seen) == 480
        assert len(set(seen)) == numbers


def test_every_batch_is_used_once_in_order(config: Config) -> None:
    task = SignTask()
    fit(task, config, progress=False)
    assert [n for n in task.asked if n < 10_000] == list(range(60))


def test_it_stops_when_the_time_is_up(config: Config) -> None:
    budget = config.budget.model_copy(update={"minutes": 0.002, "steps": 1_000_000})
    found = fit(SignTask(), config.model_copy(update={"budget": budget}), progress=False)
    assert 0 < len(found.history.steps) < 5_000
    assert found.history.seconds < 10


def test_a_run_can_be_repeated_exactly(config: Config) -> None:
    state = config.budget.model_copy(update={"carry_state": 0.5})
    same = config.model_copy(update={"budget": state})
    first, second = (fit(SignTask(), same, progress=False) for _ in range(2))
    assert first.history.loss == second.history.loss
    other = fit(SignTask(), same.model_copy(update={"seed": 6}), progress=False)
    assert other.history.loss != first.history.loss


def test_layers_of_every_cell_train_together(config: Config) -> None:
    """With every loss and carried states; layers without switches have none to train."""
    layers = [LayerSpec(cell=cell, hidden=6, block=BlockSpec()) for cell in Cell]
    budget = config.budget.model_copy(update={"steps": 4, "carry_state": 0.5})
    loss = config.loss.model_copy(
        update={"open_weight": 1.0, "margin_weight": 1.0, "open_target": 0.1}
    )
    run = config.model_copy(update={"budget": budget, "loss": loss})
    found = fit(SignTask(*layers), run, progress=False)
    assert len(found.history.loss) == 4
    assert 0.0 < found.history.open_rate[0] < 1.0


@pytest.mark.parametrize("cell", [Cell.LSTM, Cell.LRU, Cell.EGRU, Cell.BMRU])
def test_a_model_without_switches_learns(config: Config, cell: Cell) -> None:
    found = fit(SignTask(LayerSpec(cell=cell, hidden=8)), config, progress=False)
    assert found.report.score > 0.8


def test_a_diverging_loss_stops_the_run(config: Config) -> None:
    class Absurd(SignTask):
        def batch(self, number: int) -> Batch:
            found = super().batch(number)
            return Batch(found.frames, found.targets * float("inf"), found.weights)

    with pytest.raises(SurnnError, match=r"loss is nan at step 1, .*lower optimiser.lr"):
        fit(Absurd(), config, progress=False)


def test_bad_data_in_the_background_comes_to_the_front(config: Config) -> None:
    class Broken(SignTask):
        def batch(self, number: int) -> Batch:
            if number == 3:
                raise InvalidAudio("the disk is gone")
            return super().batch(number)

    with pytest.raises(InvalidAudio, match="the disk is gone"):
        fit(Broken(), config, progress=False)


def test_the_learning_rate_rises_then_falls() -> None:
    config = Optimiser(warmup=0.1, final_lr=0.01)
    rates = [learning_rate(p, config) for p in np.linspace(0, 1, 201)]
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) == 20
    assert rates[-1] == pytest.approx(0.01)
    assert np.all(np.diff(rates[:20]) > 0)
    assert np.all(np.diff(rates[21:]) < 0)
    assert learning_rate(0.0, Optimiser(warmup=0.0)) == 1.0
