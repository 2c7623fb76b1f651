"""What training minimises: cross entropy per frame, and the price of open switches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from surnn.nn import Output
from surnn.spec import Head
from surnn.train.config import LossConfig
from surnn.train.task import Batch

__all__ = [
    "cross_entropy",
    "edge_weights",
    "margin_penalty",
    "open_penalty",
    "open_target",
    "total_loss",
]


_SILENCE = 1e-6
"""Mean square of the samples of a frame, DC included: -60 dBFS."""


def edge_weights(targets: Tensor, edge: int, skip: int) -> Tensor:
    """1 for frames that count, 0 within `edge` frames of a change and in the first `skip`.

    targets [B, T, C] -> [B, T].
    """
    weights = targets.new_ones(targets.shape[:2])
    if edge and targets.shape[1] > 1:
        changed = (targets[:, 1:] != targets[:, :-1]).any(dim=-1).to(targets.dtype)  # [B, T - 1]
        near = functional.max_pool1d(
            functional.pad(changed, (edge, edge))[:, None], kernel_size=2 * edge, stride=1
        )[:, 0]
        weights = 1.0 - near
    weights[:, :skip] = 0.0
    return weights


def cross_entropy(
    logits: Tensor,
    batch: Batch,
    head: Head,
    class_weights: Tensor | None = None,
    false_weight: float = 0.0,
) -> Tensor:
    """Mean over the frames that count of the cross entropy of logits [B, T, C].

    Of a linear head, whose targets are numbers: of the squared error. With `false_weight`, a frame
    of a sigmoid head that holds no label counts the more, the surer the network is of one: the
    noises that it takes for a label decide how often it is wrong at a high threshold.
    """
    weights = batch.weights
    if head is Head.LINEAR:
        each = (logits - batch.targets).square().mean(dim=-1)
    elif head is Head.SIGMOID:
        each = functional.binary_cross_entropy_with_logits(logits, batch.targets, reduction="none")
        if false_weight:
            sure = torch.sigmoid(logits.detach()) * (batch.targets == 0)
            each = each * (1.0 + false_weight * sure)
        each = each.mean(dim=-1)
    else:
        each = -(batch.targets * functional.log_softmax(logits, dim=-1)).sum(dim=-1)
        if class_weights is not None:
            weights = weights * (batch.targets @ class_weights)
    return (each * weights).sum() / weights.sum().clamp(min=1.0)


def open_target(config: LossConfig, progress: float) -> float:
    """The open rate that is asked for at `progress` in 0...1 of the budget."""
    if config.open_start is None:
        return config.open_target
    share = min(1.0, progress / config.open_anneal)
    return config.open_start + share * (config.open_target - config.open_start)


def open_penalty(
    output: Output, config: LossConfig, progress: float = 1.0, batch: Batch | None = None
) -> Tensor:
    """How far open rates lie above the target, linear plus squared, summed over layers.

    The rate of a layer, or with `open_per = "neuron"` the mean of what each switch costs alone: a
    busy switch then cannot hide behind quiet ones. Frames of a kind that has a target of its own
    (`open_elsewhere`, `open_silence`) are measured apart; their kind is read off the `batch`.
    """
    total = output.logits.new_zeros(())
    kinds: list[tuple[float, Tensor | None]] = [(open_target(config, progress), None)]
    if batch is not None and config.open_elsewhere is not None:
        kinds = _kinds(config, batch, kinds[0][0])
    for target, frames in kinds:
        for gate in output.gates:
            chosen = gate if frames is None else gate[frames]
            if not len(chosen):
                continue
            rate = chosen.flatten(0, -2).mean(dim=0)
            excess = functional.relu(
                (rate if config.open_per == "neuron" else rate.mean()) - target
            )
            total = total + (excess + excess.square()).mean()
    return total


def _kinds(config: LossConfig, batch: Batch, target: float) -> list[tuple[float, Tensor | None]]:
    """Targets and the frames [B, T] that they are for."""
    assert config.open_elsewhere is not None
    labelled = batch.targets.sum(dim=-1) > 0 if batch.quiet is None else batch.quiet == 0
    if config.open_silence is None:
        return [(target, labelled), (config.open_elsewhere, ~labelled)]
    silent = ~labelled & (batch.frames.square().mean(dim=-1) < _SILENCE)
    return [
        (target, labelled),
        (config.open_elsewhere, ~labelled & ~silent),
        (config.open_silence, silent),
    ]


def margin_penalty(output: Output, targets: Tensor, quiet: Tensor | None = None) -> Tensor:
    """Pushes switches well shut in frames without any label: softplus(4 (a + 1/2)) / 4.

    quiet [B, T]: which frames these are, where the labels don't say.
    """
    if quiet is None:
        quiet = (targets.sum(dim=-1) == 0).to(targets.dtype)
    quiet = quiet[..., None]
    total = output.logits.new_zeros(())
    for a in output.pre:
        if a is None:
            continue
        pressed = functional.softplus(4.0 * (a + 0.5)) / 4.0
        total = total + (pressed * quiet).sum() / (quiet.sum() * a.shape[-1]).clamp(min=1.0)
    return total


def total_loss(
    output: Output, batch: Batch, head: Head, config: LossConfig, progress: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The sum that is minimised, and the cross entropy in it, at `progress` of the budget."""
    classes = (
        None if config.class_weights is None else output.logits.new_tensor(config.class_weights)
    )
    entropy = cross_entropy(output.logits, batch, head, classes, config.false_weight)
    loss = entropy
    if config.open_weight:
        loss = loss + config.open_weight * open_penalty(output, config, progress, batch)
    if config.margin_weight:
        loss = loss + config.margin_weight * margin_penalty(output, batch.targets, batch.quiet)
    return loss, entropy
