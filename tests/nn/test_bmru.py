"""BMRU: two values, written or held."""

from __future__ import annotations

import torch

from surnn.nn.cells.bmru import BMRU


def plain() -> BMRU:
    """One input: c = x, beta = 1."""
    cell = BMRU(1, 1)
    with torch.no_grad():
        cell.weight_x.copy_(torch.tensor([[1.0], [0.0]]))
    return cell


@torch.no_grad()
def test_writes_and_holds() -> None:
    x = torch.tensor([0.0, 1.0, 0.5, -0.5, -1.0, -0.99, 3.0, 0.0]).view(1, -1, 1)
    out = plain()(x, torch.ones(1, 8, 1), (torch.zeros(1, 1),))
    assert out.updates.flatten().tolist() == [0, 1, 0, 0, 1, 0, 1, 0]  # |c| = |beta| writes
    assert out.outputs.flatten().tolist() == [0, 1, 1, 1, -1, -1, 1, 1]


@torch.no_grad()
def test_alpha_scales_what_is_read_and_not_what_is_kept() -> None:
    cell = plain()
    cell.alpha.fill_(3.0)
    out = cell(torch.full((1, 1, 1), 2.0), torch.ones(1, 1, 1), (torch.zeros(1, 1),))
    assert out.outputs.item() == 3.0
    assert out.state[0].item() == 1.0


def test_scan_gives_the_same_bits_as_frame_by_frame() -> None:
    torch.manual_seed(0)
    cell = BMRU(4, 32)
    x, gates, s = torch.randn(3, 500, 4), torch.ones(3, 500, 32), torch.zeros(3, 32)
    scanned, looped = cell.train()(x, gates, (s,)), cell.eval()(x, gates, (s,))
    assert torch.equal(scanned.outputs, looped.outputs)
    assert 0.1 < scanned.updates.mean() < 0.9


@torch.no_grad()
def test_nothing_fades() -> None:
    """An hour of silence at 100 frames a second."""
    cell = plain()
    x = torch.zeros(1, 360_000, 1)
    x[0, 0] = -2.0
    cell.train()
    with torch.enable_grad():  # the scan: quicker
        out = cell(x, torch.ones_like(x), (torch.zeros(1, 1),))
    assert (out.outputs == -1).all()
