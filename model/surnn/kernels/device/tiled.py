"""suGRU over a chunk, neurons in tiles: any hidden size, closed tiles skipped, states in place.

A program owns `SESSIONS` sessions and walks through their frames. In each frame it takes the
neurons tile by tile; a tile in which no session has an open neuron is passed over: no weight is
read, nothing is computed. New values wait in `fresh` until every tile has read the old ones; only
then do those of open neurons go to the pool. That is the only store to the pool, so what is
written is exactly what is open.

Where all sessions stand at the same frame number their clocks agree, and `listed` names the open
neurons of each frame: tiles are then made of open neurons only. The input projection is part of
the tile, so it is skipped with it.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from surnn.kernels.device.numeric import gru

__all__ = ["Tiles", "list_open", "tiled_chunk", "tiled_kernel"]


class Tiles:
    """Sizes of one program's tiles: 16 is the least that `tl.dot` takes."""

    SESSIONS = 32
    NEURONS = 32
    DEPTH = 32
    WARPS = 8


@triton.jit
def tiled_kernel(
    pool, rows, lengths, x, opened, weight_x, weight_h, bias_x, bias_h, fresh, out, listed, counts,
    written, batch, steps, inputs, hidden, switches, group,
    LISTED: tl.constexpr, COUNT: tl.constexpr, PRECISION: tl.constexpr,
    BB: tl.constexpr, BJ: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """The chunks of BB sessions, see `tiled_chunk`."""
    b = tl.program_id(0) * BB + tl.arange(0, BB)
    k = tl.arange(0, BK)
    live = b < batch
    row = tl.load(rows + b, mask=live, other=0)
    length = tl.load(lengths + b, mask=live, other=0)
    states = pool + row * hidden
    new = fresh + b.to(tl.int64) * hidden
    for t in range(tl.max(length, 0)):
        n = b.to(tl.int64) * steps + t
        going = t < length
        total = tl.load(counts + t) if LISTED else hidden
        for first in range(0, total, BJ):
            place = first + tl.arange(0, BJ)
            j = (
                tl.load(listed + t * hidden + place, mask=place < total, other=0)
                if LISTED
                else place
            )
            inside = (place < total)[None, :]
            is_open = tl.load(
                opened + n[:, None] * switches + (j // group)[None, :],
                mask=going[:, None] & inside, other=0,
            ) != 0  # fmt: skip
            if tl.max(tl.max(is_open.to(tl.int32), 1), 0) > 0:
                shape: tl.constexpr = (BB, BJ)
                z = tl.zeros(shape, tl.float32)
                r = tl.zeros(shape, tl.float32)
                nx = tl.zeros(shape, tl.float32)
                nh = tl.zeros(shape, tl.float32)
                for begin in range(0, inputs, BK):
                    at = begin + k
                    v = tl.load(
                        x + n[:, None] * inputs + at[None, :],
                        mask=going[:, None] & (at < inputs)[None, :], other=0.0,
                    )  # fmt: skip
                    w = weight_x + j[None, :] * inputs + at[:, None]
                    used = inside & (at < inputs)[:, None]
                    z += _product(v, w, used, PRECISION)
                    r += _product(v, w + hidden * inputs, used, PRECISION)
                    nx += _product(v, w + 2 * hidden * inputs, used, PRECISION)
                for begin in range(0, hidden, BK):
                    at = begin + k
                    v = tl.load(
                        states[:, None] + at[None, :],
                        mask=going[:, None] & (at < hidden)[None, :], other=0.0,
                    )  # fmt: skip
                    w = weight_h + j[None, :] * hidden + at[:, None]
                    used = inside & (at < hidden)[:, None]
                    z += _product(v, w, used, PRECISION)
                    r += _product(v, w + hidden * hidden, used, PRECISION)
                    nh += _product(v, w + 2 * hidden * hidden, used, PRECISION)
                z += tl.load(bias_x + j, mask=place < total, other=0.0)[None, :]
                r += tl.load(bias_x + hidden + j, mask=place < total, other=0.0)[None, :]
                nx += tl.load(bias_x + 2 * hidden + j, mask=place < total, other=0.0)[None, :]
                nh += tl.load(bias_h + j, mask=place < total, other=0.0)[None, :]
                h = tl.load(states[:, None] + j[None, :], mask=is_open, other=0.0)
                tl.store(new[:, None] + j[None, :], gru(z, r, nx, nh, h), mask=is_open)
        # No tile may see another's new value: all have read, and all have written, here.
        tl.debug_barrier()
        for first in range(0, hidden, BJ):
            j = first + tl.arange(0, BJ)
            inside = going[:, None] & (j < hidden)[None, :]
            is_open = tl.load(
                opened + n[:, None] * switches + (j // group)[None, :], mask=inside, other=0
            ) != 0  # fmt: skip
            h = tl.load(states[:, None] + j[None, :], mask=inside & ~is_open, other=0.0)
            h = tl.where(is_open, tl.load(new[:, None] + j[None, :], mask=is_open, other=0.0), h)
            tl.store(states[:, None] + j[None, :], h, mask=is_open)
            tl.store(out + n[:, None] * hidden + j[None, :], h, mask=inside)
            if COUNT:
                tl.atomic_add(written, tl.sum(tl.sum(is_open.to(tl.int32), 1), 0).to(tl.int64))
        tl.debug_barrier()


@triton.jit
def _product(v, w, used, PRECISION: tl.constexpr):
    """v times a tile of weights, which may be stored in 16 bits; in float32."""
    tile = tl.load(w, mask=used, other=0.0).to(tl.float32)
    return tl.dot(v, tile, input_precision=PRECISION)


def tiled_chunk(
    pool: Tensor,
    rows: Tensor,
    lengths: Tensor,
    x: Tensor,
    opened: Tensor,
    weights: tuple[Tensor, Tensor, Tensor, Tensor],
    fresh: Tensor,
    out: Tensor,
    *,
    shared: tuple[Tensor, Tensor] | None = None,
    written: Tensor | None = None,
    precision: str = "ieee",
) -> Tensor:
    """Advance the pool's rows in place; returns `out`, the states after every frame.

    Args:
        pool: states [capacity, H], float32.
        rows: each session's row, int64 [B], all different.
        lengths: each session's frames, int32 [B]; behind them `out` is left as it is.
        x: inputs [B, T, I].
        opened: open switches, uint8 [B, T, G]; each holds H / G neighbours.
        weights: weight_x [3H, I], weight_h [3H, H] (float32 or 16 bits), bias_x [3H], bias_h [H].
        fresh: room for B x H numbers.
        out: [B, T, H].
        shared: open neurons of each frame, int64 [T, H], and their number [T], if they are the
            same in all sessions.
        written: int64 [1], counts the numbers that are stored into the pool.
    """
    batch, steps, hidden = out.shape
    if batch and steps:
        listed, counts = (rows, rows) if shared is None else shared
        switches = opened.shape[-1]
        tiled_kernel[(triton.cdiv(batch, Tiles.SESSIONS),)](
            pool, rows, lengths, x, opened, *weights, fresh, out, listed, counts,
            rows if written is None else written,
            batch, steps, x.shape[-1], hidden, switches, hidden // switches,
            LISTED=shared is not None, COUNT=written is not None, PRECISION=precision,
            BB=Tiles.SESSIONS, BJ=Tiles.NEURONS, BK=Tiles.DEPTH,
            num_warps=Tiles.WARPS, num_stages=1,
        )  # fmt: skip
    return out


def list_open(opened: Tensor, hidden: int) -> tuple[Tensor, Tensor]:
    """Open neurons of each frame in front, int64 [T, H], and their number [T].

    opened: switches that all sessions share, [T, G].
    """
    neurons = opened.repeat_interleave(hidden // opened.shape[-1], dim=-1) != 0
    order = torch.argsort(~neurons, dim=-1, stable=True)
    return order, neurons.sum(dim=-1)
