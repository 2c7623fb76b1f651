"""minGRU: the scan from a carried state, where logarithms go wrong."""

from __future__ import annotations

import pytest
import torch

from surnn.nn.cells.mingru import MinGRU


@pytest.mark.parametrize("start", [0.0, 0.3, 5.0])
def test_chunked_scan_equals_steps(start: float) -> None:
    torch.manual_seed(0)
    cell = MinGRU(4, 8).double().train()
    x = torch.randn(2, 90, 4, dtype=torch.float64)
    gates, h = torch.ones(2, 90, 8, dtype=torch.float64), torch.full((2, 8), start).double()
    expected = cell.reference(x, gates, (h,)).outputs
    seen, state = [], (h,)
    for part, gate in zip(x.split(30, 1), gates.split(30, 1), strict=True):
        out = cell(part, gate, state)
        seen.append(out.outputs)
        state = out.state
    torch.testing.assert_close(torch.cat(seen, 1), expected, atol=1e-12, rtol=0)


@torch.no_grad()
def test_states_stay_positive() -> None:
    torch.manual_seed(0)
    out = MinGRU(4, 8)(torch.randn(2, 300, 4) * 5, torch.ones(2, 300, 8), (torch.zeros(2, 8),))
    assert out.outputs.min() > 0
