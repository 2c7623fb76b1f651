"""LRU: its ring, and the complex equations written out."""

from __future__ import annotations

import torch

from surnn.nn.cells.lru import LRU


def test_eigenvalues_start_on_the_ring_and_drive_is_normalised() -> None:
    torch.manual_seed(0)
    re, im = LRU(4, 512, r_min=0.8, r_max=0.95, max_phase=1.0).eigenvalues()
    radius, angle = torch.hypot(re, im), torch.atan2(im, re)
    assert 0.8 - 1e-6 <= radius.min() < 0.81
    assert 0.94 < radius.max() <= 0.95 + 1e-6
    assert angle.min() >= 0
    assert 0.95 < angle.max() <= 1.0
    # Even over the area of the ring: half of them beyond the radius that halves it.
    middle = ((0.8**2 + 0.95**2) / 2) ** 0.5
    assert 0.4 < (radius > middle).float().mean() < 0.6


def test_a_state_driven_by_noise_has_the_size_of_the_noise() -> None:
    torch.manual_seed(1)
    cell = LRU(64, 256, r_max=0.99)
    with torch.no_grad():
        out = cell.eval()(
            torch.randn(8, 1500, 64), torch.ones(8, 1500, 256), (torch.zeros(8, 2, 256),)
        )
    assert 0.8 < out.state[0].square().sum(dim=1).mean() < 1.2


def test_sequence_equals_complex_numbers() -> None:
    torch.manual_seed(2)
    cell = LRU(3, 5).double()
    re, im = cell.eigenvalues()
    factor = torch.complex(re, im)
    b, c = (torch.complex(w[0], w[1]) for w in (cell.weight_b, cell.weight_c))
    x, h = torch.randn(20, 3, dtype=torch.float64), torch.zeros(5, dtype=torch.complex128)
    expected = []
    for x_t in x:
        h = factor * h + cell.gamma_log.exp() * (b @ x_t.to(b.dtype))
        expected.append((c @ h).real + cell.weight_d @ x_t)
    start = torch.zeros(1, 2, 5, dtype=torch.float64)
    seen = cell(x[None], torch.ones(1, 20, 5, dtype=torch.float64), (start,))
    torch.testing.assert_close(seen.outputs[0], torch.stack(expected), atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.view_as_real(h).T, seen.state[0][0], atol=1e-12, rtol=0)


def test_lambda_is_the_same_number_in_every_precision() -> None:
    torch.manual_seed(3)
    cell = LRU(2, 64)
    narrow = cell.eigenvalues()
    wide = cell.double().eigenvalues()
    for a, b in zip(narrow, wide, strict=True):
        assert torch.equal(a.double(), b)
        assert torch.equal(b.float().double(), b)
