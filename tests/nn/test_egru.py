"""EGRU: events, the soft reset, and the two vectors that a stream needs."""

from __future__ import annotations

import torch

from surnn.nn.cells.egru import EGRU


def make() -> EGRU:
    torch.manual_seed(0)
    return EGRU(4, 16).eval()


@torch.no_grad()
def test_an_event_is_sent_on_and_taken_off_the_cell() -> None:
    """Without weights c~ = c / 2: the numbers can be read off."""
    cell = EGRU(1, 3)
    for p in cell.parameters():
        p.zero_()
    cell.threshold.copy_(torch.tensor([0.25, 0.5, 7.0]))  # the last is clamped to 1
    c = torch.tensor([[1.0, 1.0, 4.0]])
    y, event, (after, carried) = cell.step(
        torch.ones(1, 1), torch.ones(1, 3), (c, torch.zeros(1, 3))
    )
    assert event.tolist() == [[1, 0, 1]]  # 0.5 is not above 0.5
    assert y.tolist() == carried.tolist() == [[0.5, 0, 2.0]]  # as it was before the reset
    assert after.tolist() == [[0.25, 0.5, 1.0]]


@torch.no_grad()
def test_what_is_sent_is_zero_without_an_event() -> None:
    cell = make()
    zeros = torch.zeros(2, 16)
    out = cell(torch.randn(2, 200, 4), torch.ones(2, 200, 16), (zeros, zeros))
    assert 0.01 < out.updates.mean() < 0.9
    assert torch.equal(out.outputs != 0, out.updates == 1)


@torch.no_grad()
def test_a_stream_needs_both_vectors() -> None:
    cell = make()
    x, gates, zeros = torch.randn(1, 80, 4), torch.ones(1, 80, 16), torch.zeros(1, 16)
    whole = cell(x, gates, (zeros, zeros)).outputs[:, 40:]
    c, y = cell(x[:, :40], gates[:, :40], (zeros, zeros)).state
    resumed = cell(x[:, 40:], gates[:, 40:], (c, y)).outputs
    torch.testing.assert_close(resumed, whole, atol=1e-5, rtol=0)
    for missing in ((zeros, y), (c, zeros)):
        lost = cell(x[:, 40:], gates[:, 40:], missing).outputs
        assert (lost - whole).abs().max() > 0.01


def test_thresholds_start_within_their_bounds() -> None:
    torch.manual_seed(0)
    threshold = EGRU(2, 2000).threshold
    assert 0 < threshold.min() < threshold.max() < 1
    assert abs(threshold.mean().item() - 0.3) < 0.02
