"""The tiled kernel: float64's numbers, exact carry, nobody else's rows, the same bits anywhere."""

from __future__ import annotations

import pytest
import torch


def run(chunk, **options):
    from surnn.kernels.device.tiled import tiled_chunk

    pool, out = chunk.pool.clone(), chunk.out
    tiled_chunk(
        pool, chunk.rows, chunk.lengths, chunk.x, chunk.opened, chunk.weights, chunk.room, out,
        **options,
    )  # fmt: skip
    return pool, out


@pytest.mark.parametrize(
    ("batch", "steps", "inputs", "hidden", "group"),
    [(1, 1, 1, 1, 1), (3, 4, 5, 33, 1), (35, 2, 8, 40, 5), (2, 3, 33, 64, 16)],
)
def test_equals_float64(chunk, check_result, batch, steps, inputs, hidden, group):
    before = chunk(batch, steps, inputs, hidden, group=group)
    check_result(before, *run(before))


@pytest.mark.gpu
@pytest.mark.parametrize("hidden", [128, 250, 512])
@pytest.mark.parametrize("precision", ["ieee", "tf32x3"])
def test_equals_float64_at_full_size(chunk, check_result, hidden, precision, device):
    if device == "cpu":
        pytest.skip("too slow for the interpreter")
    before = chunk(70, 10, 64, hidden)
    check_result(before, *run(before, precision=precision))


@pytest.mark.gpu
def test_many_sessions(chunk, device):
    if device == "cpu":
        pytest.skip("too slow for the interpreter")
    before = chunk(16_384, 2, 40, 256)
    pool, out = run(before)
    few = before.only([0, 5000, 16_383])
    alone, states = run(few)
    assert torch.equal(pool[few.rows], alone[few.rows])
    for i, b in enumerate((0, 5000, 16_383)):
        assert torch.equal(out[b], states[i])


def test_half_weights_are_computed_in_float32(chunk, check_result):
    before = chunk(3, 3, 5, 40)
    wx, wh, bx, bh = before.weights
    halves = (wx.to(torch.float16), wh.to(torch.float16), bx, bh)
    before.weights = (halves[0].float(), halves[1].float(), bx, bh)
    expected = run(before)
    before.weights = halves
    pool, out = run(before)
    check_result(before, pool, out)
    assert torch.equal(pool, expected[0])


def test_bfloat16_weights_are_only_loaded(chunk, check_result):
    before = chunk(2, 2, 5, 20)
    wx, wh, bx, bh = before.weights
    before.weights = (wx.to(torch.bfloat16), wh.to(torch.bfloat16), bx, bh)
    check_result(before, *run(before))


def test_company_does_not_matter(chunk):
    before = chunk(37, 3, 4, 36)
    pool, out = run(before)
    for sessions in ([0], [36], [20, 3, 33]):
        few = before.only(sessions)
        alone, states = run(few)
        assert torch.equal(pool[few.rows], alone[few.rows])
        assert torch.equal(out[sessions], states)


def test_listed_neurons_give_the_same_bits(chunk, check_result):
    """Sessions in step skip by one list what they else skip tile by tile."""
    from surnn.kernels.device.tiled import list_open

    before = chunk(5, 4, 6, 70, group=2, rate=0.2)
    before.lengths[:] = 4
    before.opened[:] = before.opened[:1]
    listed, counts = list_open(before.opened[0], 70)
    assert counts.tolist() == (before.opened[0].sum(dim=-1) * 2).tolist()
    plain = run(before)
    shared = run(before, shared=(listed, counts))
    check_result(before, *shared)
    torch.testing.assert_close(shared[0], plain[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_writes_are_exactly_the_open_neurons(chunk, rate):
    before = chunk(4, 3, 5, 40, group=4, rate=rate)
    written = torch.zeros(1, dtype=torch.int64, device=before.pool.device)
    run(before, written=written)
    assert int(written) == before.open_neurons


def test_closed_tiles_read_no_weights(chunk):
    """A tile without open neurons may hold anything: it is not computed."""
    before = chunk(2, 3, 4, 64, group=32)
    before.opened[..., 1] = 0
    for weight in before.weights[:3]:
        weight.view(3, 64, -1)[:, 32:] = torch.nan
    pool, out = run(before)
    assert torch.isfinite(pool).all()
    assert torch.isfinite(out).all()


def test_empty_batches(chunk):
    before = chunk(2, 3, 4, 20)
    none = before.only([])
    assert torch.equal(run(none)[0], before.pool)
    before.lengths[:] = 0
    pool, out = run(before)
    assert torch.equal(pool, before.pool)
    assert not out.any()
