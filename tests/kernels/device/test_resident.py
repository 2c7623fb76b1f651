"""The resident kernel: as the tiled one, for layers that stay on the chip."""

from __future__ import annotations

import pytest
import torch


def run(chunk, weight=None, **options):
    from surnn.kernels.device.linear import plain
    from surnn.kernels.device.resident import resident_chunk

    batch, steps, inputs = chunk.x.shape
    wx, wh, bx, bh = chunk.weights
    hidden = chunk.pool.shape[1]
    projected = torch.empty(batch * steps, 3 * hidden, device=chunk.pool.device)
    plain(chunk.x.view(-1, inputs), wx, bx, projected)
    pool, out = chunk.pool.clone(), chunk.out
    resident_chunk(
        pool, chunk.rows, chunk.lengths, projected.view(batch, steps, 3 * hidden), chunk.opened,
        wh if weight is None else weight, bh, out, **options,
    )  # fmt: skip
    return pool, out


@pytest.mark.parametrize(
    ("batch", "steps", "inputs", "hidden", "group"),
    [(1, 1, 1, 1, 1), (3, 5, 5, 17, 1), (18, 2, 8, 40, 5), (2, 3, 33, 64, 16)],
)
def test_equals_float64(chunk, check_result, batch, steps, inputs, hidden, group):
    before = chunk(batch, steps, inputs, hidden, group=group)
    check_result(before, *run(before))


@pytest.mark.parametrize("hidden", [20, 128])
def test_half_weights_are_computed_in_float32(chunk, check_result, hidden):
    """The two halves of a state hold enough of it for 1e-5 over a chunk."""
    before = chunk(3, 3, 5, hidden)
    wx, wh, bx, bh = before.weights
    half = wh.to(torch.float16)
    before.weights = (wx, half.float(), bx, bh)
    check_result(before, *run(before, half))


def test_half_weights_hold_over_many_frames(chunk, check_result):
    before = chunk(1, 60, 3, 16, rate=0.6)
    wx, wh, bx, bh = before.weights
    half = wh.to(torch.float16)
    before.weights = (wx, half.float(), bx, bh)
    check_result(before, *run(before, half))


def test_company_does_not_matter(chunk):
    before = chunk(19, 3, 4, 24)
    pool, out = run(before)
    for sessions in ([0], [18], [11, 3]):
        few = before.only(sessions)
        alone, states = run(few)
        assert torch.equal(pool[few.rows], alone[few.rows])
        assert torch.equal(out[sessions], states)


def test_writes_are_exactly_the_open_neurons(chunk):
    before = chunk(4, 3, 5, 40, group=4)
    written = torch.zeros(1, dtype=torch.int64, device=before.pool.device)
    run(before, written=written)
    assert int(written) == before.open_neurons > 0


def test_empty_batches(chunk):
    before = chunk(2, 3, 4, 20)
    assert torch.equal(run(before.only([]))[0], before.pool)
    before.lengths[:] = 0
    assert torch.equal(run(before)[0], before.pool)


def test_what_fits():
    pytest.importorskip("triton", reason="Triton has no wheel for this platform")
    from surnn.kernels.device.resident import fits

    assert fits(64, torch.float32)
    assert not fits(65, torch.float32)
    assert fits(128, torch.float16)
    assert not fits(129, torch.float16)
    assert not fits(16, torch.bfloat16)
