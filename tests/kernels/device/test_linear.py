"""Matrix products with fixed tiles, over plain and over overlapping rows."""

from __future__ import annotations

import pytest
import torch


@pytest.mark.parametrize(
    ("rows", "depth", "columns", "epilogue"),
    [(1, 1, 1, 0), (5, 33, 40, 1), (40, 70, 33, 2), (3, 20, 5, 3)],
)
def test_equals_float64(device, rows, depth, columns, epilogue):
    from surnn.kernels.device.linear import Epilogue, linear_reference, plain

    torch.manual_seed(rows)
    x, weight = torch.randn(rows, depth), torch.randn(columns, depth) / depth**0.5
    bias = torch.randn(columns)
    if epilogue == Epilogue.LOG:
        x, weight, bias = x.abs(), weight.abs(), bias.abs()
    out = torch.full((rows, columns), 7.0, device=device)
    plain(x.to(device), weight.to(device), bias.to(device), out, epilogue=epilogue)
    expected = linear_reference(x, weight, bias, epilogue)
    torch.testing.assert_close(out.cpu().double(), expected, atol=1e-5, rtol=1e-5)


def test_rows_overlap(device):
    """Windows of 6 numbers, 2 apart, in each of 3 sessions of 12."""
    from surnn.kernels.device.linear import linear, linear_reference

    torch.manual_seed(0)
    samples, weight = torch.randn(3, 12), torch.randn(4, 6)
    out = torch.empty(3 * 4, 4, device=device)
    linear(
        samples.to(device), weight.to(device), None, out, per_batch=4, batch_stride=12, row_stride=2
    )
    windows = samples.unfold(1, 6, 2).reshape(12, 6)
    expected = linear_reference(windows, weight, None)
    torch.testing.assert_close(out.cpu().double(), expected, atol=1e-5, rtol=0)


def test_rows_do_not_depend_on_their_number(device):
    from surnn.kernels.device.linear import plain

    torch.manual_seed(0)
    x, weight = torch.randn(70, 50, device=device), torch.randn(9, 50, device=device)
    whole = plain(x, weight, None, torch.empty(70, 9, device=device))
    for rows in ([0], [69], [3, 40]):
        alone = plain(x[rows], weight, None, torch.empty(len(rows), 9, device=device))
        assert torch.equal(alone, whole[rows])


def test_adding_and_columns_of_something_wider(device):
    from surnn.kernels.device.linear import plain

    x, weight = torch.ones(3, 2, device=device), torch.ones(4, 2, device=device)
    wide = torch.full((3, 6), 5.0, device=device)
    plain(x, weight, None, wide[:, :4], add=True)
    assert wide.tolist() == [[7.0] * 4 + [5.0] * 2] * 3


def test_no_rows(device):
    from surnn.kernels.device.linear import plain

    weight = torch.ones(4, 2, device=device)
    out = plain(torch.ones(0, 2, device=device), weight, None, torch.empty(0, 4, device=device))
    assert out.shape == (0, 4)
