"""Switches on the device: the clock's bits exactly, at any frame number."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from surnn.clock import SINE_TABLE, increments
from surnn.kernels import reference
from surnn.spec import SwitchMode, SwitchSpec

CLOCKS, SWITCHES, FEATURES = 5, 37, 6


def case(mode: SwitchMode, starts: list[int], steps: int):
    rng = np.random.default_rng(0)
    spec = SwitchSpec(mode=mode, frequencies=CLOCKS)
    amplitude = rng.uniform(-0.9, 0.9, (2 * CLOCKS, SWITCHES)).astype(np.float32)
    weight = rng.standard_normal((FEATURES, SWITCHES)).astype(np.float32)
    bias = rng.uniform(-0.5, 0.5, SWITCHES).astype(np.float32)
    features = rng.standard_normal((len(starts), steps, FEATURES)).astype(np.float32)
    has_clock = mode in (SwitchMode.CLOCK, SwitchMode.CLOCK_INPUT)
    has_input = mode in (SwitchMode.INPUT, SwitchMode.CLOCK_INPUT)
    given = (amplitude if has_clock else None, weight if has_input else None)
    expected = np.stack(
        [
            reference.switches(spec, start + np.arange(steps), features[i], *given, bias, SWITCHES)
            for i, start in enumerate(starts)
        ]
    )
    return spec, given, bias, features, expected


def run(device, spec, given, bias, features, starts, lengths):
    from surnn.kernels.device.switches import switches

    amplitude, weight = given
    inc = increments(spec.frequencies, spec.min_period, spec.max_period)
    if spec.mode is SwitchMode.NONE:
        bias = None
    elif amplitude is not None:
        bias = np.round(bias * np.float32(511 * 256))

    def put(array):
        return None if array is None else torch.from_numpy(np.asarray(array)).to(device)

    opened = torch.full((*features.shape[:2], SWITCHES), 9, dtype=torch.uint8, device=device)
    return switches(
        put(np.array(starts)), put(np.array(lengths, np.int32)), put(features), opened,
        inc=None if amplitude is None else put(inc), table=put(SINE_TABLE.astype(np.float32)),
        amplitude=None if amplitude is None else put(np.clip(np.round(amplitude * 256), -255, 255)),
        weight=put(weight), bias=put(bias),
    ).cpu().numpy()  # fmt: skip


@pytest.mark.parametrize("mode", list(SwitchMode))
def test_equals_the_reference(device, mode):
    starts, lengths = [0, 10**10, 2**61], [40, 40, 40]
    spec, given, bias, features, expected = case(mode, starts, 40)
    opened = run(device, spec, given, bias, features, starts, lengths)
    np.testing.assert_array_equal(opened, expected)
    assert mode is SwitchMode.NONE or 0.1 < expected.mean() < 0.9


def test_closed_behind_the_length(device):
    starts, lengths = [5, 7], [3, 0]
    for mode in (SwitchMode.CLOCK, SwitchMode.NONE):
        spec, given, bias, features, expected = case(mode, starts, 4)
        opened = run(device, spec, given, bias, features, starts, lengths)
        np.testing.assert_array_equal(opened[0, :3], expected[0, :3])
        assert not opened[0, 3:].any()
        assert not opened[1].any()


def test_own_reference_agrees(device):
    from surnn.kernels.device.switches import switches_reference

    starts = [3, 10**10]
    spec, given, bias, features, expected = case(SwitchMode.CLOCK_INPUT, starts, 6)
    seen = switches_reference(
        torch.tensor(starts),
        torch.tensor([6, 6]),
        torch.from_numpy(features),
        inc=torch.from_numpy(increments(CLOCKS, spec.min_period, spec.max_period)),
        amplitude=torch.from_numpy(np.clip(np.round(given[0] * 256), -255, 255)),
        weight=torch.from_numpy(given[1]),
        bias=torch.from_numpy(np.round(bias * np.float32(511 * 256))),
        count=SWITCHES,
    )
    np.testing.assert_array_equal(seen.numpy(), expected)
