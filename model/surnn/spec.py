"""What a model says about itself: everything needed to feed it and to read its answers.

The spec travels as JSON beside the weights and inside the ONNX file's metadata (key
``surnn``), so that one ``.onnx`` file alone can be served.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from surnn.cells import Cell
from surnn.spec_layer import (
    BlockGate,
    BlockSpec,
    Frozen,
    LayerSpec,
    Norm,
    SwitchMode,
    SwitchSpec,
)

__all__ = [
    "NORM_EPSILON",
    "AnomalyRule",
    "BlockGate",
    "BlockSpec",
    "Cell",
    "EncoderSpec",
    "EventRule",
    "FrontEnd",
    "Head",
    "LayerSpec",
    "LogMelFrontEnd",
    "ModelKind",
    "ModelSpec",
    "Norm",
    "ScaleFrontEnd",
    "StateSpec",
    "SwitchMode",
    "SwitchSpec",
]

FORMAT_VERSION: Literal[1] = 1
NORM_EPSILON = 1e-5
"""What norms add to the variance."""


class ModelKind(StrEnum):
    """What a model listens to."""

    AUDIO = "audio"
    SENSOR = "sensor"


class Head(StrEnum):
    """How logits become probabilities."""

    SIGMOID = "sigmoid"
    """Labels are independent."""
    SOFTMAX = "softmax"
    """Exactly one label holds in each frame."""
    LINEAR = "linear"
    """No probabilities: each label is a number to be estimated, and no events are made of it."""


class LogMelFrontEnd(Frozen):
    """Streaming log-mel energies (see `surnn.frontend`)."""

    type: Literal["logmel"] = "logmel"
    window: int = Field(default=400, ge=1, description="Samples that one frame looks at")
    n_fft: int = Field(default=512, ge=1)
    bands: int = Field(default=40, ge=1)
    f_min: float = 60.0
    f_max: float = 7600.0
    offset: float = Field(default=12.0, description="Added to the natural log of the energy")
    scale: float = Field(default=0.2, description="Multiplies the shifted log energy")

    @model_validator(mode="after")
    def _usable(self) -> LogMelFrontEnd:
        if not 0.0 <= self.f_min < self.f_max:
            raise ValueError(f"bands span {self.f_min:g} to {self.f_max:g} Hz, expected upwards")
        if self.n_fft < self.window:
            raise ValueError(f"n_fft {self.n_fft} is shorter than window {self.window}")
        return self

    @property
    def features(self) -> int:
        """F, the width of one frame after the front end."""
        return self.bands


class ScaleFrontEnd(Frozen):
    """Each channel shifted and scaled: ``(x - mean) * scale``."""

    type: Literal["scale"] = "scale"
    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @model_validator(mode="after")
    def _same_length(self) -> ScaleFrontEnd:
        if len(self.mean) != len(self.scale):
            raise ValueError(f"mean has {len(self.mean)} channels, scale has {len(self.scale)}")
        return self

    @property
    def features(self) -> int:
        """F, the width of one sample after the front end."""
        return len(self.mean)


FrontEnd = Annotated[LogMelFrontEnd | ScaleFrontEnd, Field(discriminator="type")]


class EncoderSpec(Frozen):
    """A causal convolution and a ReLU between front end and recurrent layers, at every frame.

    A clocked neuron that opens every few frames would otherwise miss what lies between.
    """

    frames: int = Field(default=5, ge=2, le=50, description="Frames that one output looks at")
    width: int = Field(default=64, ge=1, description="Outputs per frame")


class EventRule(Frozen):
    """When probabilities of one label become an event (see `surnn.events`)."""

    label: str
    on: float = Field(default=0.5, ge=0.0, le=1.0, description="Starts at or above this")
    off: float = Field(default=0.35, ge=0.0, le=1.0, description="Ends below this")
    min_on: float = Field(
        default=0.1, ge=0.0, le=3600.0, description="Seconds it must hold to start"
    )
    min_off: float = Field(default=0.3, ge=0.0, le=3600.0, description="Seconds below `off` to end")
    smooth: float = Field(
        default=0.0,
        ge=0.0,
        le=60.0,
        description="Seconds that the probability is first averaged over, by a sliding mean whose "
        "weights fall by e in this time; 0: as it is",
    )
    point: bool = Field(default=False, description="One moment, not a span: there is no end event")

    @model_validator(mode="after")
    def _hysteresis(self) -> EventRule:
        if self.off > self.on:
            raise ValueError(f"off threshold {self.off} is above the on threshold {self.on}")
        return self


class AnomalyRule(Frozen):
    """When errors of forecasts become an anomaly (see `surnn.anomaly`); all in rows."""

    warm_up: int = Field(default=400, ge=10, description="First rows: the machine is well in them")
    smooth: int = Field(default=10, ge=1, description="Rows that a score is a mean of, about")
    cap: float = Field(default=25.0, gt=1.0, description="Most that one channel says of a row")
    floor: float = Field(default=0.05, gt=0.0, description="Smallest usual error, in spreads")
    half_life: float = Field(default=2000.0, gt=0.0, description="Of what errors are usual")
    on: float = Field(default=2.5, gt=0.0, description="Starts at or above this score")
    off_share: float = Field(default=0.8, gt=0.0, le=1.0, description="Ends below this share of on")
    hold: int = Field(default=3, ge=1, description="Rows that it must hold to start or to end")


class StateSpec(Frozen):
    """One array that a session carries from chunk to chunk."""

    name: str
    shape: tuple[int, ...]
    dtype: Literal["float32", "int64"] = "float32"

    @property
    def nbytes(self) -> int:
        """Size of this array for one session."""
        return math.prod(self.shape) * (4 if self.dtype == "float32" else 8)


class ModelSpec(Frozen):
    """Everything needed to feed a model and to read its answers."""

    format: Literal[1] = FORMAT_VERSION
    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    version: str = Field(default="1", pattern=r"^[A-Za-z0-9._-]{1,32}$")
    kind: ModelKind
    description: str = ""
    sample_rate: int = Field(gt=0, description="Samples per second that the network sees")
    hop: int = Field(gt=0, description="Samples per frame")
    channels: int = Field(default=1, ge=1, description="Channels of the stream")
    frontend: FrontEnd
    encoder: EncoderSpec | None = None
    layers: tuple[LayerSpec, ...] = Field(min_length=1)
    labels: tuple[str, ...] = Field(min_length=1)
    head: Head
    lookahead: int = Field(
        default=0, ge=0, le=100, description="Frames of the future that an answer waits for"
    )
    threshold: float = Field(default=0.5, ge=0.0, le=1.0, description="For frame decisions")
    events: tuple[EventRule, ...] = ()
    anomaly: AnomalyRule | None = Field(default=None, description="Of models that forecast")
    licence: str = ""
    training: dict[str, object] = Field(default_factory=dict, description="How it was trained")
    metrics: dict[str, object] = Field(default_factory=dict, description="Measured figures")

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        unknown = [rule.label for rule in self.events if rule.label not in self.labels]
        if unknown:
            raise ValueError(f"event rules for {unknown}, but the labels are {list(self.labels)}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels repeat: {list(self.labels)}")
        if self.head is Head.LINEAR and self.events:
            raise ValueError("a linear head gives no probabilities, expected no event rules")
        ruled = [rule.label for rule in self.events]
        if len(set(ruled)) != len(ruled):
            raise ValueError(f"event rules repeat: {ruled}, expected at most one for each label")
        if isinstance(self.frontend, LogMelFrontEnd):
            if self.channels != 1:
                raise ValueError(f"a log-mel front end takes 1 channel, not {self.channels}")
            if self.frontend.window < self.hop:
                raise ValueError(f"window {self.frontend.window} is shorter than hop {self.hop}")
            if self.frontend.f_max > self.sample_rate / 2:
                raise ValueError(
                    f"f_max is {self.frontend.f_max:g} Hz, "
                    f"expected at most half of {self.sample_rate}"
                )
        elif self.frontend.features != self.channels:
            raise ValueError(
                f"front end scales {self.frontend.features} channels of {self.channels}"
            )
        elif self.hop != 1:
            raise ValueError(f"a sensor frame is one sample, but hop is {self.hop}")
        return self

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop

    @property
    def frame_size(self) -> int:
        """S, the numbers that one frame of input holds: hop x channels."""
        return self.hop * self.channels

    @property
    def context(self) -> int:
        """Samples of the past that the front end carries from frame to frame."""
        if isinstance(self.frontend, LogMelFrontEnd):
            return self.frontend.window - self.hop
        return 0

    @property
    def features(self) -> int:
        """F, the width of one frame as the recurrent layers and the switches see it."""
        return self.encoder.width if self.encoder else self.frontend.features

    @property
    def neurons(self) -> int:
        """Recurrent neurons in all layers: the updates that one frame could make, and what the head
        reads. The dense parts of front end, encoder, blocks and head are no updates."""
        return sum(layer.hidden for layer in self.layers)

    @property
    def states(self) -> tuple[StateSpec, ...]:
        """What a session carries: frame counter, past samples and features, hidden states."""
        states = [StateSpec(name="t", shape=(), dtype="int64")]
        if self.context:
            states.append(StateSpec(name="context", shape=(self.context,)))
        if self.encoder:
            shape = (self.encoder.frames - 1, self.frontend.features)
            states.append(StateSpec(name="past", shape=shape))
        for i in range(len(self.layers)):
            states += self.layer_states(i)
        return tuple(states)

    @property
    def neuron_bytes(self) -> tuple[int, ...]:
        """Bytes of state behind one switch, for each layer [L]."""
        return tuple(
            sum(state.nbytes for state in self.layer_states(i)) // layer.hidden
            for i, layer in enumerate(self.layers)
        )

    def layer_states(self, index: int) -> tuple[StateSpec, ...]:
        """What layer `index` carries, in the order of its cell's states (see `surnn.cells`)."""
        layer = self.layers[index]
        return tuple(
            StateSpec(
                name=f"{state.letter}{index}",
                shape=(layer.hidden,) if state.parts == 1 else (state.parts, layer.hidden),
            )
            for state in layer.traits.states
        )
