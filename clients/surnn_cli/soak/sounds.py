"""What the streams of a soak send, and what they must give: computed here, undisturbed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

import surnn
from surnn_client import EventMessage

__all__ = [
    "Result",
    "Sound",
    "event_key",
    "eventful",
    "make_movement",
    "make_sound",
    "undisturbed",
]

_FORMATS = (
    (44_100, "pcm_s16le", 1, 2),
    (16_000, "pcm_s16le", 1, 2),
    (8_000, "mulaw", 2, 1),
    (48_000, "pcm_f32le", 1, 4),
)


@dataclass(frozen=True)
class Sound:
    """One stream's samples."""

    rate: int
    encoding: str
    channels: int
    width: int
    """Bytes of one sample of one channel."""
    data: bytes
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Changes to the model's event rules, so that there are many events."""

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * self.width

    @property
    def bytes_per_second(self) -> int:
        """Bytes of a second."""
        return self.rate * self.bytes_per_sample

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.data) / self.bytes_per_second


@dataclass
class Result:
    """What a stream gave."""

    probs: list[float] = field(default_factory=list)
    """Of the first label, for every frame."""
    events: list[tuple[object, ...]] = field(default_factory=list)


def make_sound(seed: int, seconds: float) -> Sound:
    """Bursts of noise of all lengths, in one of several formats."""
    rate, encoding, channels, width = _FORMATS[seed % len(_FORMATS)]
    random = np.random.default_rng(seed)
    samples = round(rate * seconds)
    gate = np.repeat(random.uniform(size=samples // (rate // 20) + 1) < 0.4, rate // 20)[:samples]
    level = (random.normal(0.0, 0.2, samples) * gate).clip(-1, 1).repeat(channels)
    if encoding == "pcm_f32le":
        data = level.astype("<f4").tobytes()
    elif encoding == "mulaw":
        data = random.integers(0, 256, samples * channels, dtype=np.uint8).tobytes()
    else:
        data = (level * 32767).astype("<i2").tobytes()
    return Sound(rate, encoding, channels, width, data)


def make_movement(seed: int, seconds: float) -> Sound:
    """What a phone in a pocket might say: 6 channels that wander about."""
    random = np.random.default_rng(seed)
    steps = random.normal(0.0, 0.1, (round(100 * seconds), 6))
    wave = np.sin(np.arange(len(steps))[:, None] * random.uniform(0.05, 0.2, 6))
    return Sound(100, "f32le", 6, 4, (wave + steps.cumsum(axis=0) * 0.05).astype("<f4").tobytes())


def eventful(model: surnn.Model, sound: Sound) -> Sound:
    """The same with thresholds in the middle of its probabilities: events come and go."""
    label = model.spec.labels[0]
    middle = float(np.quantile(undisturbed(model, sound).probs, 0.6))
    rules = {"on": middle, "off": middle, "min_on": 0.02, "min_off": 0.02}
    return replace(sound, thresholds={label: rules})


def event_key(event: EventMessage | surnn.Event) -> tuple[object, ...]:
    """What must be the same of an event. Scores travel with six digits."""
    return (event.label, str(event.kind), event.time, round(event.score, 6))


def undisturbed(model: surnn.Model, sound: Sound) -> Result:
    """What the stream gives alone, in this process, in one piece."""
    result = Result()
    with model.stream(
        sample_rate=sound.rate,
        encoding=sound.encoding,
        channels=sound.channels,
        thresholds=sound.thresholds,
    ) as stream:
        chunks = stream.feed(sound.data)
        last, events = stream.finish()
    for chunk in chunks + last:
        result.probs += chunk.probs[:, 0].tolist()
        result.events += [event_key(event) for event in chunk.events]
    result.events += [event_key(event) for event in events]
    return result
