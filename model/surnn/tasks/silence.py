"""How long a network remembers: answers asked for behind ever longer silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surnn.nn import Network
from surnn.tasks.measure import CHUNK, score
from surnn.train.task import Batch
from surnn.types import Float32

__all__ = ["RecallPoint", "recall_curve"]


@dataclass(frozen=True, slots=True)
class RecallPoint:
    """What was left after one length of silence."""

    seconds: float
    accuracy: float
    carried: float
    """Share of neurons whose whole state has the bits that it had when silence began."""


@torch.no_grad()
def recall_curve(
    network: Network,
    heard: Tensor,
    question: Batch,
    silence: Callable[[int, np.random.Generator], Float32],
    seconds: Sequence[float],
) -> list[RecallPoint]:
    """Recall after each of the lengths, in ascending order.

    Args:
        heard: frames [B, T, S] with what there is to remember.
        question: frames behind the silence, and the right answers; leaves no trace in later ones.
        silence: so many frames [B, T, S] of it.
        seconds: lengths of silence.
    """
    device = network.head.weight.device
    question, rng = question.to(device), np.random.default_rng(0)
    state = network.initial_state(len(heard))
    start = torch.randint(0, 2**31, (len(heard),), generator=torch.Generator().manual_seed(0))
    state["t"] = start.to(device)
    state = network(heard.to(device), state=state).state
    began, passed, points = state, 0, []
    for length in seconds:
        frames = round(length * network.spec.frame_rate)
        while passed < frames:
            count = min(CHUNK, frames - passed)
            state = network(torch.from_numpy(silence(count, rng)).to(device), state=state).state
            passed += count
        found = network(question.frames, state=state)
        right = score(found.logits, question, network.spec.head) * question.weights
        points.append(
            RecallPoint(
                seconds=length,
                accuracy=float(right.sum() / question.weights.sum()),
                carried=_carried(network, began, state),
            )
        )
    return points


def _carried(network: Network, before: dict[str, Tensor], after: dict[str, Tensor]) -> float:
    """Share of neurons [B, H] of all layers all of whose states are the same bits."""
    kept: list[Tensor] = []
    for i in range(len(network.spec.layers)):
        same = []
        for spec in network.spec.layer_states(i):
            bits = [s[spec.name].contiguous().view(torch.int32) for s in (before, after)]
            equal = bits[0] == bits[1]  # [B, H] or [B, 2, H]
            same.append(equal if equal.ndim == 2 else equal.all(dim=1))
        kept.append(torch.stack(same).all(dim=0))
    return float(torch.cat(kept, dim=1).float().mean())
