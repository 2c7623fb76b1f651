"""CMRU: an exact counter that saturates."""

from __future__ import annotations

import torch

from surnn.nn.cells.cmru import CMRU, LIMIT


def plain() -> CMRU:
    """One input: c = x, beta = 1."""
    cell = CMRU(1, 1)
    with torch.no_grad():
        cell.weight_x.copy_(torch.tensor([[1.0], [0.0]]))
    return cell


@torch.no_grad()
def test_writes_add_up() -> None:
    x = torch.tensor([2.0, 2.0, 0.0, -2.0, 2.0, 2.0]).view(1, -1, 1)
    out = plain()(x, torch.ones(1, 6, 1), (torch.zeros(1, 1),))
    assert out.outputs.flatten().tolist() == [1, 2, 2, 1, 2, 3]


@torch.no_grad()
def test_the_count_is_exact_up_to_its_limit_and_stays_there() -> None:
    up = torch.full((1, 5, 1), 2.0)
    for sign in (1.0, -1.0):
        start = torch.tensor([[sign * (LIMIT - 3)]])
        out = plain()(torch.cat([sign * up, -sign * up], 1), torch.ones(1, 10, 1), (start,))
        counts = [2, 1, 0, 0, 0, 1, 2, 3, 4, 5]
        assert out.outputs.flatten().tolist() == [sign * (LIMIT - n) for n in counts]


def test_scan_gives_the_same_bits_as_frame_by_frame() -> None:
    torch.manual_seed(0)
    cell = CMRU(4, 32)
    x, gates, s = torch.randn(3, 500, 4), torch.ones(3, 500, 32), torch.full((3, 32), 7.0)
    scanned, looped = cell.train()(x, gates, (s,)), cell.eval()(x, gates, (s,))
    assert torch.equal(scanned.outputs, looped.outputs)
    assert looped.outputs.abs().max() > 10
