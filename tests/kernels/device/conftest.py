"""A random layer over a pool whose other rows hold canaries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

CANARY = 77.0


@dataclass
class Chunk:
    """B sessions with up to T frames each, in odd rows of a pool."""

    pool: Tensor
    rows: Tensor
    lengths: Tensor
    x: Tensor
    opened: Tensor
    weights: tuple[Tensor, Tensor, Tensor, Tensor]

    @property
    def out(self) -> Tensor:
        """Room for the states after every frame."""
        return torch.zeros(*self.x.shape[:2], self.pool.shape[1], device=self.pool.device)

    @property
    def room(self) -> Tensor:
        """Room whose content must not matter."""
        return torch.full((len(self.rows), self.pool.shape[1]), torch.nan, device=self.pool.device)

    @property
    def open_neurons(self) -> int:
        """How many neurons are open in all frames together."""
        return int(self.opened.sum()) * (self.pool.shape[1] // self.opened.shape[-1])

    def only(self, sessions: list[int]) -> Chunk:
        """The same pool, with some of the sessions."""
        at = torch.tensor(sessions, dtype=torch.int64, device=self.pool.device)
        return Chunk(
            self.pool.clone(),
            self.rows[at],
            self.lengths[at],
            self.x[at],
            self.opened[at],
            self.weights,
        )


def make_chunk(
    device: str,
    batch: int,
    steps: int,
    inputs: int,
    hidden: int,
    *,
    group: int = 1,
    rate: float = 0.3,
    seed: int = 0,
) -> Chunk:
    rng = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, steps + 1, (batch,), generator=rng, dtype=torch.int32)
    lengths[:1] = steps
    rows = torch.randperm(batch, generator=rng) * 2 + 1
    pool = torch.full((2 * batch + 1, hidden), CANARY)
    pool[rows] = torch.rand(batch, hidden, generator=rng) * 2 - 1
    valid = (torch.arange(steps) < lengths[:, None])[..., None]
    opened = (torch.rand(batch, steps, hidden // group, generator=rng) < rate) & valid
    shapes = ((3 * hidden, inputs), (3 * hidden, hidden), (3 * hidden,), (hidden,))
    bound = hidden**-0.5
    weights = [(torch.rand(shape, generator=rng) * 2 - 1) * bound for shape in shapes]
    wx, wh, bx, bh = (w.to(device) for w in weights)
    return Chunk(
        pool.to(device),
        rows.to(device),
        lengths.to(device),
        torch.randn(batch, steps, inputs, generator=rng).to(device),
        opened.to(torch.uint8).to(device),
        (wx, wh, bx, bh),
    )


@pytest.fixture
def chunk(device: str) -> Callable[..., Chunk]:
    def make(batch: int, steps: int, inputs: int, hidden: int, **options: float) -> Chunk:
        return make_chunk(device, batch, steps, inputs, hidden, **options)

    return make


@pytest.fixture
def check_result(device: str) -> Callable[..., None]:
    """Against float64: values, carried bits, and rows of others."""

    def check(before: Chunk, pool: Tensor, out: Tensor, tolerance: float = 1e-5) -> None:
        from surnn.kernels.device.reference import chunk_reference

        expected, states = chunk_reference(
            before.pool, before.rows, before.lengths, before.x, before.opened, before.weights
        )
        assert (pool.cpu() - expected).abs().max() < tolerance
        for b, (row, length) in enumerate(zip(before.rows, before.lengths, strict=True)):
            old = before.pool[row]
            neurons = before.opened[b].repeat_interleave(
                before.pool.shape[1] // before.opened.shape[-1], dim=-1
            )
            for t in range(int(length)):
                assert torch.equal(out[b, t][neurons[t] == 0], old[neurons[t] == 0])
                assert (out[b, t].cpu() - states[b, t]).abs().max() < tolerance
                old = out[b, t]
            assert torch.equal(pool[row], old)
        assert (pool[::2] == CANARY).all()

    return check
