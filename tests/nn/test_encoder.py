"""The encoder: causal, the same in any chunks, and stopped at each session's length."""

from __future__ import annotations

import torch

from surnn.nn.encoder import Encoder
from surnn.spec import EncoderSpec


def test_an_output_sees_its_frames_and_no_others() -> None:
    torch.manual_seed(0)
    encoder = Encoder(3, EncoderSpec(frames=4, width=8))
    x, past = torch.randn(1, 10, 3), torch.zeros(1, 3, 3)
    whole, _ = encoder(x, past, torch.tensor([10]))
    changed = x.clone()
    changed[0, 5] += 1.0
    other, _ = encoder(changed, past, torch.tensor([10]))
    differs = (whole != other).any(dim=-1)[0]
    assert differs.tolist() == [i in (5, 6, 7, 8) for i in range(10)]


def test_chunks_equal_the_whole() -> None:
    torch.manual_seed(1)
    encoder = Encoder(5, EncoderSpec(frames=6, width=4))
    x, past = torch.randn(2, 20, 5), torch.randn(2, 5, 5)
    whole, after = encoder(x, past, torch.tensor([20, 20]))
    parts = []
    for chunk in x.split([1, 3, 12, 4], dim=1):
        part, past = encoder(chunk, past, torch.full((2,), chunk.shape[1]))
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-6, rtol=0)
    assert torch.equal(past, after)


def test_the_past_ends_at_each_length() -> None:
    encoder = Encoder(2, EncoderSpec(frames=3, width=4))
    x, past = torch.randn(3, 6, 2), torch.randn(3, 2, 2)
    _, after = encoder(x, past, torch.tensor([6, 1, 0]))
    assert torch.equal(after[0], x[0, 4:6])
    assert torch.equal(after[1], torch.stack([past[1, 1], x[1, 0]]))
    assert torch.equal(after[2], past[2])
