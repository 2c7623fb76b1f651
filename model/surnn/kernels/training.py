"""suGRU forwards and backwards over whole sequences, for training on a CPU.

Work is counted in *entries*: one neuron in one frame of one sequence whose candidate is computed.
Open neurons are entries; closed ones are too where the switch is to learn, because its gradient
asks what opening would have changed. Backwards, only open entries cost more than a few operations.

Weights are laid out as for `surnn.kernels.rows`. Reference: `surnn.nn.cells.sugru.sugru_step`.
"""

from __future__ import annotations

import numpy as np

from surnn.kernels.activations import sigmoid, tanh
from surnn.kernels.cache import inline, kernel
from surnn.kernels.cells import kind_of, sums_of
from surnn.kernels.rows import dots
from surnn.kernels.simd import fma, load, splat, store, zeros16
from surnn.kernels.sums import load_row_sums

__all__ = ["train_backward", "train_forward"]

_ONE = np.float32(1.0)


@inline
def _load_frame(x, b, t, v):
    for k in range(x.shape[2]):
        v[k] = x[b, t, k]


@inline
def _activate(kind, pre, active, saved, first, count):
    """z, r, n and U_n h + c_n of a frame's entries, into `active` and saved[:, first ...]."""
    room = active.shape[1]
    for j in range(0, count, 16):
        of_z, of_r, of_x, of_h = load_row_sums(pre, j, sums_of(kind))
        r = sigmoid(of_r)
        store(active, j, sigmoid(of_z))
        store(active, room + j, r)
        store(active, 2 * room + j, tanh(fma(r, of_h, of_x)))
        store(active, 3 * room + j, of_h)
    for k in range(4):
        for j in range(count):
            saved[k, first + j] = active[k, j]


@kernel
def train_forward(cell, x, gates, everywhere, h0, weights, bias, inputs, states, saved):
    """All hidden states.

    Args:
        cell: any `surnn.kernels.cells.SuGRU`: says which sums to take.
        x: float32 [B, T, I]; gates: float32 [B, T, H], open where above 0.
        everywhere: are closed neurons entries too?
        h0: float32 [B, H].
        weights: float32 [H, 3, X + H']; bias: float32 [H, 4] for z, r, n of x, n of h.
        inputs: X, I padded to a multiple of 16.
        states: float32 [B, T, H], written.
        saved: float32 [4, entries], written in order of sequence, frame, neuron.
    """
    steps, hidden = gates.shape[1], gates.shape[2]
    kind = kind_of(cell)
    room = (hidden + 31) // 16 * 16
    v = np.zeros(weights.shape[2], np.float32)
    pre = np.zeros(4 * room, np.float32)
    active = np.zeros((4, room), np.float32)
    listed = np.zeros(hidden + 1, np.int64)
    first = 0
    for b in range(len(gates)):
        for i in range(hidden):
            v[inputs + i] = h0[b, i]
        for t in range(steps):
            count = 0
            for i in range(hidden):
                listed[count] = i
                count += everywhere or gates[b, t, i] > 0
            if count:
                _load_frame(x, b, t, v)
                listed[count] = listed[count - 1]
                for j in range(0, count, 2):
                    dots(kind, weights, bias, listed[j], listed[j + 1], v, inputs, pre, j)
                _activate(kind, pre, active, saved, first, count)
                for j in range(count):
                    i = listed[j]
                    if gates[b, t, i] > 0:
                        z, n = active[0, j], active[2, j]
                        v[inputs + i] = z * v[inputs + i] + (_ONE - z) * n
                first += count
            for i in range(hidden):
                states[b, t, i] = v[inputs + i]


@inline
def _accumulate(weights, neuron, v, inputs, dz, dr, dn, dnh, dv, d_weights, with_inputs):
    """What one open entry adds to the gradients of its inputs and of its rows of weights."""
    like = zeros16()
    width = len(v)
    a = 3 * width * neuron
    wide_z, wide_r = splat(dz, like), splat(dr, like)
    wide = splat(dn, like)
    for k in range(0, inputs, 16):
        value = load(v, k, like)
        if with_inputs:
            total = fma(load(weights, a + k, like), wide_z, load(dv, k, like))
            total = fma(load(weights, a + width + k, like), wide_r, total)
            store(dv, k, fma(load(weights, a + 2 * width + k, like), wide, total))
        for gate, d in ((0, wide_z), (1, wide_r), (2, wide)):
            at = a + gate * width + k
            store(d_weights, at, fma(d, value, load(d_weights, at, like)))
    wide = splat(dnh, like)
    for k in range(inputs, width, 16):
        value = load(v, k, like)
        total = fma(load(weights, a + k, like), wide_z, load(dv, k, like))
        total = fma(load(weights, a + width + k, like), wide_r, total)
        store(dv, k, fma(load(weights, a + 2 * width + k, like), wide, total))
        for gate, d in ((0, wide_z), (1, wide_r), (2, wide)):
            at = a + gate * width + k
            store(d_weights, at, fma(d, value, load(d_weights, at, like)))


@kernel
def train_backward(
    grad, x, gates, everywhere, h0, weights, inputs, states, saved, d_x, d_gates, d_h0, d_weights,
    d_bias,
):  # fmt: skip
    """Gradients of everything, from that of all states; arguments as for `train_forward`.

    grad: float32 [B, T, H]. d_x [B, T, I] is left alone where it holds no sequence ([0, ...]),
    d_gates [B, T, H] likewise; d_weights and d_bias are added to.
    """
    steps, hidden = gates.shape[1], gates.shape[2]
    v = np.zeros(weights.shape[2], np.float32)
    dv = np.zeros(weights.shape[2], np.float32)
    deltas = np.zeros((4, hidden), np.float32)
    listed = np.zeros(hidden, np.int64)
    end = saved.shape[1]
    for b in range(len(gates) - 1, -1, -1):
        dv[:] = 0
        for t in range(steps - 1, -1, -1):
            for i in range(hidden):
                dv[inputs + i] += grad[b, t, i]
                v[inputs + i] = states[b, t - 1, i] if t else h0[b, i]
            if everywhere:
                count = hidden
            else:
                count = 0
                for i in range(hidden):
                    count += gates[b, t, i] > 0
            entry = end - count
            end = entry
            opened = 0
            for i in range(hidden):
                is_open = gates[b, t, i] > 0
                if not (is_open or everywhere):
                    continue
                z, r, n = saved[0, entry], saved[1, entry], saved[2, entry]
                total, old = dv[inputs + i], v[inputs + i]
                if everywhere and len(d_gates):
                    d_gates[b, t, i] = total * (_ONE - z) * (n - old)
                if is_open:
                    dn = total * (_ONE - z) * (_ONE - n * n)
                    deltas[0, opened] = total * (old - n) * z * (_ONE - z)
                    deltas[1, opened] = dn * saved[3, entry] * r * (_ONE - r)
                    deltas[2, opened] = dn
                    deltas[3, opened] = dn * r
                    dv[inputs + i] = total * z
                    listed[opened] = i
                    opened += 1
                entry += 1
            if opened:
                _load_frame(x, b, t, v)
                for j in range(opened):
                    i = listed[j]
                    dz, dr, dn, dnh = deltas[0, j], deltas[1, j], deltas[2, j], deltas[3, j]
                    _accumulate(weights, i, v, inputs, dz, dr, dn, dnh, dv, d_weights, len(d_x) > 0)
                    d_bias[i, 0] += dz
                    d_bias[i, 1] += dr
                    d_bias[i, 2] += dn
                    d_bias[i, 3] += dnh
                if len(d_x):
                    for k in range(x.shape[2]):
                        d_x[b, t, k] = dv[k]
                        dv[k] = 0
        for i in range(hidden):
            d_h0[b, i] = dv[inputs + i]
