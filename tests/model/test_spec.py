from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from surnn.spec import (
    EventRule,
    LayerSpec,
    LogMelFrontEnd,
    ModelSpec,
    ScaleFrontEnd,
    StateSpec,
    SwitchSpec,
)


def changed(spec: ModelSpec, **fields: Any) -> ModelSpec:
    """The spec with other fields, checked again."""
    return ModelSpec.model_validate(spec.model_dump() | fields)


def test_json_round_trip(audio_spec: ModelSpec, sensor_spec: ModelSpec) -> None:
    for spec in (audio_spec, sensor_spec):
        assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec


def test_sizes_of_an_audio_model(audio_spec: ModelSpec) -> None:
    assert audio_spec.frame_rate == 100.0
    assert audio_spec.frame_size == 160
    assert audio_spec.context == 240
    assert audio_spec.neurons == 10
    assert audio_spec.frontend.features == 40
    assert audio_spec.states == (
        StateSpec(name="t", shape=(), dtype="int64"),
        StateSpec(name="context", shape=(240,)),
        StateSpec(name="h0", shape=(4,)),
        StateSpec(name="h1", shape=(6,)),
    )
    assert sum(state.nbytes for state in audio_spec.states) == 8 + 4 * (240 + 4 + 6)


def test_sizes_of_a_sensor_model(sensor_spec: ModelSpec) -> None:
    assert sensor_spec.frame_rate == 50.0
    assert sensor_spec.frame_size == 3
    assert sensor_spec.context == 0
    assert [state.name for state in sensor_spec.states] == ["t", "h0"]


def test_switches_of_a_layer() -> None:
    assert LayerSpec(hidden=24).switches == 24
    assert LayerSpec(hidden=24, switch=SwitchSpec(group=8)).switches == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": ("speech", "speech")}, "labels repeat"),
        ({"labels": ("dog",)}, r"event rules for \['speech'\], but the labels are \['dog'\]"),
        ({"events": (EventRule(label="speech"),) * 2}, r"event rules repeat: \['speech', 'speech'"),
        ({"head": "linear"}, "a linear head gives no probabilities, expected no event rules"),
        ({"channels": 2}, "a log-mel front end takes 1 channel, not 2"),
        ({"hop": 401}, "window 400 is shorter than hop 401"),
        ({"sample_rate": 8000}, "f_max is 7600 Hz, expected at most half of 8000"),
        ({"name": "../vad"}, "String should match pattern"),
        ({"name": "Vad"}, "String should match pattern"),
        ({"layers": ()}, "at least 1 item"),
        ({"labels": ()}, "at least 1 item"),
        ({"format": 2}, "Input should be 1"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
        ({"frontend": {"type": "mfcc"}}, "'logmel', 'scale'"),
        ({"frontend": ScaleFrontEnd(mean=(0,), scale=(1,))}, "a sensor frame is one sample"),
        (
            {"frontend": ScaleFrontEnd(mean=(0, 0), scale=(1, 1))},
            "front end scales 2 channels of 1",
        ),
    ],
)
def test_a_spec_that_contradicts_itself(
    audio_spec: ModelSpec, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        changed(audio_spec, **fields)


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (LayerSpec, {"hidden": 20, "switch": {"group": 8}}, "hidden size is 20, expected a mul"),
        (LayerSpec, {"hidden": 0}, "greater than or equal to 1"),
        (SwitchSpec, {"frequencies": 33}, "less than or equal to 32"),
        (SwitchSpec, {"min_period": 50, "max_period": 20}, "longest period 20 is below the short"),
        (SwitchSpec, {"open_rate": 0}, "greater than 0"),
        (LogMelFrontEnd, {"window": 600}, "n_fft 512 is shorter than window 600"),
        (LogMelFrontEnd, {"f_min": 8000}, "bands span 8000 to 7600 Hz, expected upwards"),
        (LogMelFrontEnd, {"f_min": -1}, "bands span -1 to 7600 Hz, expected upwards"),
        (ScaleFrontEnd, {"mean": (0, 0), "scale": (1,)}, "mean has 2 channels, scale has 1"),
        (EventRule, {"label": "a", "on": 0.3}, r"off threshold 0\.35 is above the on threshold"),
        (EventRule, {"label": "a", "min_on": float("inf")}, "less than or equal to 3600"),
        (EventRule, {"label": "a", "min_off": float("nan")}, "less than or equal to 3600"),
    ],
)
def test_parts_that_cannot_be(kind: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        kind.model_validate(fields)


def test_specs_cannot_be_changed(audio_spec: ModelSpec) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        audio_spec.hop = 80  # type: ignore[misc]
