"""Blocks: the equations, and that none of them looks at another frame."""

from __future__ import annotations

import itertools

import pytest
import torch

from surnn.nn.block import Block
from surnn.spec import NORM_EPSILON, BlockGate, BlockSpec, Norm

EVERY = [
    BlockSpec(norm=norm, gate=gate, residual=residual)
    for norm, gate, residual in itertools.product(Norm, BlockGate, (False, True))
]


def test_no_block_lets_everything_pass() -> None:
    block = Block(None, 4, 6)
    x, y = torch.randn(2, 5, 4), torch.randn(2, 5, 6)
    assert block.before(x) is x
    assert block.after(x, y) is y
    assert not list(block.parameters())


def test_the_whole_block_written_out() -> None:
    torch.manual_seed(0)
    block = Block(BlockSpec(norm=Norm.RMS), 4, 6)
    assert isinstance(block.norm, torch.nn.RMSNorm)
    assert isinstance(block.skip, torch.nn.Linear)
    assert block.glu is not None
    torch.nn.init.normal_(block.norm.weight)
    x, y = torch.randn(2, 5, 4), torch.randn(2, 5, 6)
    size = (x.square().mean(-1, keepdim=True) + NORM_EPSILON).sqrt()
    torch.testing.assert_close(block.before(x), x / size * block.norm.weight)
    u = 0.5 * y * (1 + torch.erf(y / 2**0.5)) @ block.glu.weight.T + block.glu.bias
    expected = u[..., :6] * torch.sigmoid(u[..., 6:]) + x @ block.skip.weight.T
    torch.testing.assert_close(block.after(x, y), expected)


def test_equal_widths_need_no_projection() -> None:
    block = Block(BlockSpec(norm=Norm.NONE, gate=BlockGate.NONE), 6, 6)
    x, y = torch.randn(1, 3, 6), torch.randn(1, 3, 6)
    assert torch.equal(block.after(x, y), y + x)
    assert not list(block.parameters())


@pytest.mark.parametrize("spec", EVERY, ids=str)
@torch.no_grad()
def test_a_frame_does_not_see_others(spec: BlockSpec) -> None:
    torch.manual_seed(0)
    block = Block(spec, 4, 6)
    x, y = torch.randn(2, 9, 4), torch.randn(2, 9, 6)
    whole = block.before(x), block.after(x, y)
    for i in range(9):
        one = x[:, i : i + 1], y[:, i : i + 1]
        torch.testing.assert_close(block.before(one[0]), whole[0][:, i : i + 1])
        torch.testing.assert_close(block.after(*one), whole[1][:, i : i + 1])
