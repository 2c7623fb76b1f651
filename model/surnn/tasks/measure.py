"""A network on held-out sequences of any length, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from surnn.nn import Network
from surnn.spec import Head
from surnn.train.task import Batch
from surnn.types import Float32

__all__ = ["CHUNK", "Measured", "measure", "score"]

CHUNK = 1024
"""Frames that run at once; the state travels from chunk to chunk, as it does in a server."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out."""

    value: float
    """Share of counted frames with the right class; of a linear head the mean squared error."""
    rates: list[Float32]
    """For each layer the share of frames in which each switch was open."""
    layer_rates: list[float]
    open_rate: float
    """Of all neurons."""


@torch.no_grad()
def measure(network: Network, batches: Iterable[Batch], *, random_start: bool = True) -> Measured:
    """Run a network over batches.

    Streams start at random frame numbers, the same for every network, because the accuracy of a
    clocked network depends on where its clocks stand; or all at 0.
    """
    device = network.head.weight.device
    random = torch.Generator().manual_seed(0)
    right = counted = frames = 0.0
    opened: list[torch.Tensor] = []
    for batch in batches:
        size, length = batch.weights.shape
        state = network.initial_state(size)
        if random_start:
            state["t"] = torch.randint(0, 2**31, (size,), generator=random).to(device)
        for first in range(0, length, CHUNK):
            part = Batch(*(x[:, first : first + CHUNK] for x in batch.tensors)).to(device)
            output = network(part.frames, state=state)
            state = output.state
            right += float((score(output.logits, part, network.spec.head) * part.weights).sum())
            rates = [gate.sum(dim=(0, 1), dtype=torch.float64) for gate in output.gates]
            opened = [a + b for a, b in zip(opened, rates, strict=True)] if opened else rates
        counted += float(batch.weights.sum())
        frames += batch.weights.numel()
    shares = [(rate / frames).cpu().numpy() for rate in opened]
    layer_rates = [float(share.mean()) for share in shares]
    neurons = [layer.hidden for layer in network.spec.layers]
    return Measured(
        value=right / max(counted, 1.0),
        rates=[share.astype(np.float32) for share in shares],
        layer_rates=layer_rates,
        open_rate=float(np.average(layer_rates, weights=neurons)),
    )


def score(logits: torch.Tensor, batch: Batch, head: Head) -> torch.Tensor:
    """The figure of each frame [B, T]: is the class right, or which share of independent labels, or
    the squared error."""
    if head is Head.LINEAR:
        return (logits - batch.targets).square().mean(dim=-1)
    if head is Head.SIGMOID:
        return ((logits > 0) == (batch.targets > 0.5)).float().mean(dim=-1)
    return (logits.argmax(dim=-1) == batch.targets.argmax(dim=-1)).float()
