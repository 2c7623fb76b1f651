"""Measuring in chunks against one call over everything."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from surnn.nn import Network
from surnn.spec import Head, LayerSpec, SwitchMode, SwitchSpec
from surnn.tasks import measure as module
from surnn.tasks.benchmark import Split
from surnn.tasks.config import with_settings
from surnn.tasks.measure import measure, score
from surnn.tasks.selective_copy import SelectiveCopy, fast
from surnn.train.task import Batch


@pytest.mark.parametrize("chunk", [7, 1024])
def test_chunks_give_the_figures_of_the_whole(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    torch.manual_seed(0)
    switch = SwitchSpec(mode=SwitchMode.INPUT, open_rate=0.4)
    layers = (LayerSpec(hidden=6, switch=switch), LayerSpec(cell="gru", hidden=12))
    changes = {"length": 40, "valid_sequences": 70}
    config = with_settings(fast(), changes).model_copy(update={"layers": layers, "curriculum": ()})
    task = SelectiveCopy(config)
    network = Network(task.spec)
    found = measure(network, task.held_out(Split.VALID))

    right = counted = 0.0
    opened = torch.zeros(6, dtype=torch.float64)
    for batch in task.held_out(Split.VALID):
        with torch.no_grad():
            output = network(batch.frames)
        hits = (output.logits.argmax(-1) == batch.targets.argmax(-1)) * batch.weights
        right, counted = right + hits.sum().item(), counted + batch.weights.sum().item()
        opened += output.gates[0].sum(dim=(0, 1), dtype=torch.float64)
    assert found.value == right / counted
    torch.testing.assert_close(torch.from_numpy(found.rates[0]), (opened / (70 * 40)).float())
    assert found.layer_rates == [pytest.approx(found.rates[0].mean()), 1.0]
    assert found.open_rate == pytest.approx((6 * found.layer_rates[0] + 12) / 18)


def test_streams_begin_at_0_where_asked() -> None:
    """A clocked network is in another state at random frame numbers, and its figure another one."""
    torch.manual_seed(0)
    task = SelectiveCopy(with_settings(fast(), {"length": 40, "valid_sequences": 8}))
    clock = LayerSpec(hidden=16, switch=SwitchSpec(mode=SwitchMode.CLOCK))
    network = Network(task.spec.model_copy(update={"layers": (clock,)}))
    (batch,) = task.held_out(Split.VALID)
    with torch.no_grad():
        rates = network(batch.frames).gates[0].mean(dim=(0, 1)).numpy()
    found = [measure(network, [batch], random_start=start).rates[0] for start in (False, True)]
    np.testing.assert_allclose(found[0], rates, atol=1e-6)
    assert np.abs(found[1] - rates).max() > 0.01


def test_scores_of_each_head() -> None:
    logits = torch.tensor([[[1.0, -1.0, 2.0]]])
    for head, target, expected in (
        (Head.SOFTMAX, [0.0, 0.0, 1.0], 1.0),
        (Head.SOFTMAX, [1.0, 0.0, 0.0], 0.0),
        (Head.SIGMOID, [1.0, 1.0, 1.0], 2 / 3),
        (Head.LINEAR, [1.0, 1.0, 2.0], 4 / 3),
    ):
        batch = Batch(torch.zeros(1, 1, 1), torch.tensor([[target]]), torch.ones(1, 1))
        assert score(logits, batch, head).item() == pytest.approx(expected)
