"""What training minimises, against counting by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from surnn.nn import Output
from surnn.spec import Head
from surnn.train.config import LossConfig
from surnn.train.losses import (
    cross_entropy,
    edge_weights,
    margin_penalty,
    open_penalty,
    total_loss,
)
from surnn.train.task import Batch


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[None, :, None]


def output(logits: Tensor, gates: list[Tensor], pre: list[Tensor] | None = None) -> Output:
    return Output(logits, gates, pre or gates, {})


def test_frames_beside_an_edge_do_not_count() -> None:
    targets = column(0, 0, 0, 0, 1, 1, 1, 1, 1, 0)
    weights = edge_weights(targets, edge=2, skip=0)
    assert weights.tolist() == [[1, 1, 0, 0, 0, 0, 1, 0, 0, 0]]
    assert edge_weights(targets, edge=1, skip=1).tolist() == [[0, 1, 1, 0, 0, 1, 1, 1, 0, 0]]
    assert edge_weights(targets, edge=0, skip=0).tolist() == [[1.0] * 10]
    assert edge_weights(column(1), edge=3, skip=0).tolist() == [[1.0]]


def test_an_edge_in_any_class_is_an_edge() -> None:
    targets = torch.eye(3)[torch.tensor([[0, 0, 0, 2, 2, 2]])]
    assert edge_weights(targets, edge=1, skip=0).tolist() == [[1, 1, 0, 0, 1, 1]]


def test_sigmoid_cross_entropy_means_over_the_frames_that_count() -> None:
    batch = Batch(torch.zeros(1), column(1, 0, 1), torch.tensor([[1.0, 1.0, 0.0]]))
    found = cross_entropy(column(0.0, 2.0, -50.0), batch, Head.SIGMOID)
    assert found.item() == pytest.approx((math.log(2) + math.log1p(math.exp(2))) / 2)


def test_sure_false_frames_count_more() -> None:
    batch = Batch(torch.zeros(1), column(0, 0, 1), torch.ones(1, 3))
    logits = column(2.0, -2.0, 2.0)
    wrong, right = math.log1p(math.exp(2)), math.log1p(math.exp(-2))
    sure = 1 / (1 + math.exp(-2))
    found = cross_entropy(logits, batch, Head.SIGMOID, false_weight=3.0)
    expected = wrong * (1 + 3 * sure) + right * (1 + 3 * (1 - sure)) + right
    assert found.item() == pytest.approx(expected / 3)


def test_softmax_cross_entropy_takes_class_weights() -> None:
    targets = torch.eye(2)[torch.tensor([[0, 1]])]
    batch = Batch(torch.zeros(1), targets, torch.ones(1, 2))
    logits = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    right, wrong = math.log1p(math.exp(-1)), math.log1p(math.exp(1))
    plain = cross_entropy(logits, batch, Head.SOFTMAX)
    assert plain.item() == pytest.approx((right + wrong) / 2)
    weighted = cross_entropy(logits, batch, Head.SOFTMAX, torch.tensor([1.0, 3.0]))
    assert weighted.item() == pytest.approx((right + 3 * wrong) / 4)


def test_only_the_excess_over_the_target_costs() -> None:
    config = LossConfig(open_target=0.5, open_weight=1.0)
    shut, half, full = torch.zeros(1, 4, 2), torch.full((1, 4, 2), 0.5), torch.ones(1, 4, 2)
    logits = torch.zeros(1, 4, 1)
    assert open_penalty(output(logits, [shut, half]), config).item() == 0.0
    assert open_penalty(output(logits, [full, shut]), config).item() == pytest.approx(0.75)


def test_each_kind_of_frame_has_its_own_target() -> None:
    config = LossConfig(open_target=1.0, open_elsewhere=0.5, open_silence=0.25, open_weight=1.0)
    gates = torch.tensor([1.0, 1.0, 0.5, 0.5, 0.25, 0.25])[None, :, None].expand(1, 6, 3)
    level = torch.tensor([0.0, 0.1, 0.1, 0.1, 0.0005, 0.0])[None, :, None].expand(1, 6, 4)
    targets = column(1, 1, 0, 0, 0, 0)
    batch = Batch(level, targets, torch.ones(1, 6))
    assert open_penalty(output(targets, [gates]), config, batch=batch).item() == 0.0
    tighter = config.model_copy(update={"open_silence": 0.05})
    assert open_penalty(output(targets, [gates]), tighter, batch=batch).item() == pytest.approx(
        0.2 + 0.04
    )
    # Without a target of its own, silence is like any frame where nothing holds.
    either = config.model_copy(update={"open_silence": None, "open_elsewhere": 0.275})
    assert open_penalty(output(targets, [gates]), either, batch=batch).item() == pytest.approx(
        0.1 + 0.01
    )
    loss, entropy = total_loss(output(targets * 0, [gates]), batch, Head.SIGMOID, either)
    assert (loss - entropy).item() == pytest.approx(0.11)


def test_a_kind_of_frame_that_is_missing_costs_nothing() -> None:
    config = LossConfig(open_target=0.5, open_elsewhere=0.0, open_silence=0.0, open_weight=1.0)
    targets = column(1, 1)
    batch = Batch(torch.ones(1, 2, 4), targets, torch.ones(1, 2))
    found = open_penalty(output(targets, [torch.full((1, 2, 3), 0.5)]), config, batch=batch)
    assert found.item() == 0.0


def test_the_margin_presses_switches_shut_only_where_nothing_is_heard() -> None:
    targets = column(0, 1)
    pre = torch.tensor([[[-9.0, -9.0], [9.0, 9.0]]])
    assert margin_penalty(output(targets, [], [pre]), targets).item() == pytest.approx(
        0.0, abs=1e-6
    )
    loud = torch.tensor([[[1.0, 1.0], [9.0, 9.0]]])
    assert margin_penalty(output(targets, [], [loud]), targets).item() == pytest.approx(
        1.5, abs=0.01
    )


def test_the_total_adds_what_the_config_weighs() -> None:
    targets = column(0, 1)
    batch = Batch(torch.zeros(1), targets, torch.ones(1, 2))
    out = output(torch.zeros(1, 2, 1), [torch.ones(1, 2, 3)])
    alone, entropy = total_loss(out, batch, Head.SIGMOID, LossConfig())
    assert alone.item() == entropy.item() == pytest.approx(math.log(2))
    config = LossConfig(open_target=0.5, open_weight=2.0, margin_weight=1.0)
    loss, entropy = total_loss(out, batch, Head.SIGMOID, config)
    margin = margin_penalty(out, targets).item()
    assert loss.item() == pytest.approx(entropy.item() + 2.0 * 0.75 + margin)


def test_a_linear_head_is_trained_on_the_squared_error() -> None:
    batch = Batch(torch.zeros(1), column(1.0, 5.0, 0.0), torch.tensor([[1.0, 1.0, 0.0]]))
    found = cross_entropy(column(3.0, 4.0, 99.0), batch, Head.LINEAR)
    assert found.item() == pytest.approx((4.0 + 1.0) / 2)


def test_layers_without_switches_have_no_margin() -> None:
    targets = column(0, 1)
    assert margin_penalty(output(targets, [], [None]), targets).item() == 0.0
