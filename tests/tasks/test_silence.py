"""The recall curve, on networks whose memory is known because it was made by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from surnn.nn import Network
from surnn.spec import Head, LayerSpec, ModelSpec, SwitchMode, SwitchSpec
from surnn.tasks.silence import recall_curve
from surnn.train.task import Batch
from surnn.types import Float32

Make = Callable[..., ModelSpec]


def quiet(frames: int, rng: np.random.Generator) -> Float32:
    return np.zeros((2, frames, 3), np.float32) + np.float32([0, 1, 2])  # the front end's mean


def question(classes: list[int]) -> Batch:
    targets = torch.eye(3)[torch.tensor(classes)][:, None]
    return Batch(torch.from_numpy(quiet(1, np.random.default_rng(0))), targets, torch.ones(2, 1))


def loud() -> torch.Tensor:
    torch.manual_seed(3)
    return 5 * torch.randn(2, 6, 3)


def test_closed_switches_carry_everything_and_the_answer_stays(stack_spec: Make) -> None:
    """Open where channel 1 is loud, which it never is in silence."""
    torch.manual_seed(0)
    switch = SwitchSpec(mode=SwitchMode.INPUT)
    network = Network(stack_spec(LayerSpec(hidden=8, switch=switch), head=Head.SOFTMAX))
    inner = network.stack[0].switch
    assert inner.weight is not None
    assert inner.bias is not None
    torch.nn.init.zeros_(inner.weight)
    torch.nn.init.zeros_(inner.bias)
    with torch.no_grad():
        inner.weight[0] = 1.0
        said = network(loud()).logits[:, -1].argmax(-1).tolist()
    points = recall_curve(network, loud(), question(said), quiet, (0.01, 0.5, 30.0))
    assert [(p.seconds, p.accuracy, p.carried) for p in points] == [
        (0.01, 1.0, 1.0),
        (0.5, 1.0, 1.0),
        (30.0, 1.0, 1.0),
    ]
    wrong = [(answer + 1) % 3 for answer in said]
    assert recall_curve(network, loud(), question(wrong), quiet, (1.0,))[0].accuracy == 0.0


def test_a_decaying_memory_forgets(stack_spec: Make) -> None:
    """An LRU of 0.9 a frame: after 50 s in silence nothing is left, both parts in every neuron."""
    torch.manual_seed(0)
    network = Network(stack_spec(LayerSpec(cell="lru", hidden=8), head=Head.SOFTMAX))
    cell = network.stack[0].cell
    with torch.no_grad():
        cell.nu_log.fill_(float(np.log(-np.log(0.9))))
        empty = network(torch.from_numpy(quiet(1, np.random.default_rng(0)))).logits[0, 0]
    forgotten = int(empty.argmax())
    points = recall_curve(network, loud(), question([forgotten] * 2), quiet, (0.01, 50.0))
    assert points[1].accuracy == 1.0, "it answers as if nothing had been"
    assert points[0].carried == 0.0


@pytest.mark.parametrize("cell", ["surnn", "sulstm", "egru", "bmru"])
def test_every_cell_is_measured(stack_spec: Make, cell: str) -> None:
    torch.manual_seed(0)
    network = Network(stack_spec(LayerSpec(cell=cell, hidden=4), LayerSpec(hidden=4)))
    (point,) = recall_curve(network, loud(), question([0, 1]), quiet, (0.2,))
    assert 0 <= point.carried <= 1
