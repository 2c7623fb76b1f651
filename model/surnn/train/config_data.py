"""The part of a training config that is about recordings: which sets, and how they are varied."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from surnn.spec import AnomalyRule

__all__ = [
    "AudioConfig",
    "Chance",
    "ChannelConfig",
    "DataSet",
    "MachineConfig",
    "MachineSet",
    "MixConfig",
    "SensorConfig",
    "SensorMix",
    "SeriesMix",
    "SoundMix",
    "Table",
    "ValidConfig",
    "WordMix",
    "WordsConfig",
]

Span = tuple[float, float]
"""Lowest and highest value; one is drawn between them."""
Chance = Annotated[float, Field(ge=0.0, le=1.0)]


class Table(BaseModel):
    """A table of a config: keys that it does not know are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSet(Table):
    """One folder of recordings and the part of it that is used."""

    folder: str
    kind: Literal["speech", "noise", "music", "words"]
    role: Literal["train", "valid", "test"] = Field(
        description="To learn from; to choose checkpoint and thresholds by; to report on"
    )
    licence: str
    files: tuple[str, ...] | None = Field(default=None, description="Only these; None: all")
    where: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Values that columns of clips.csv must have"
    )
    part: Span = Field(default=(0.0, 1.0), description="From and to: shares of the clips, in order")
    part_of: str | None = Field(
        default=None, description="A column: `part` is a share of its values, in a fixed shuffle"
    )
    word: str | None = Field(default=None, description="The column that says what is spoken")
    names: dict[str, str] = Field(default_factory=dict, description="Word in the table: label")
    find_speech: bool = Field(
        default=False, description="Find segments by energy: the folder has no segments.csv"
    )
    weight: float = Field(default=1.0, gt=0, description="How often it is drawn")
    source: str = Field(default="", description="Where others find it: for the model card")

    def described(self) -> dict[str, str]:
        """A row for the model card."""
        words = [", ".join(self.files)] if self.files is not None else []
        words += [f"{column}: {', '.join(values)}" for column, values in self.where.items()]
        if self.part != (0.0, 1.0):
            what = f"values of {self.part_of}, shuffled" if self.part_of else "the table"
            words.append(f"from {self.part[0]:.0%} to {self.part[1]:.0%} of {what}")
        return {
            "folder": self.folder,
            "source": self.source,
            "kind": self.kind,
            "role": self.role,
            "licence": self.licence,
            "part": "; ".join(words) or "all",
        }


class ChannelConfig(Table):
    """What lies between a sound and the samples that arrive: microphone, level, line."""

    equaliser: Chance = 0.5
    peak_db: Span = (-45.0, 0.0)
    clipping: Chance = 0.08
    offset: Chance = 0.1
    offset_level: float = Field(default=0.03, ge=0, le=1, description="Largest DC, full scale 1")
    telephone: Chance = 0.15
    a_law: Chance = Field(default=0.0, description="Share of telephone lines that are A-law")
    low_rate: Chance = 0.15
    codec: Chance = Field(default=0.0, description="Through Opus, Vorbis or MP3 at a low rate")


class MixConfig(ChannelConfig):
    """Ranges from which each training clip is drawn."""

    snr_db: Span = (-5.0, 30.0)
    no_speech: Chance = 0.12
    clean: Chance = 0.1
    music: Chance = 0.2
    second_noise: Chance = 0.3
    synthetic_noise: Chance = 0.3
    noise_variation: Chance = Field(
        default=0.0, description="Noise and music at another pace, backwards, through a filter"
    )
    noise_pace: float = Field(
        default=0.45, ge=0, le=1, description="Largest change of that pace, as a natural logarithm"
    )
    noise_gusts: Chance = Field(
        default=0.0, description="Share of varied noises whose level comes and goes"
    )
    cries: float = Field(
        default=0.0, ge=0, description="Made-up cries and calls, as a share of other made-up noise"
    )
    room: Chance = 0.3
    tempo: Chance = 0.4
    drop_out: Chance = 0.06


class ValidConfig(Table):
    """Held-out streams."""

    seconds: float = Field(default=10.0, gt=0, description="Length of each")
    streams: int = Field(default=6, gt=0, description="Of each set and signal-to-noise ratio")
    false_share: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="The score counts speech found at the threshold that this share of the frames "
        "of noise and music alone passes, too",
    )


class AudioConfig(Table):
    """Voice activity from recordings that are mixed while training."""

    sets: tuple[DataSet, ...] = Field(min_length=1)
    valid: ValidConfig = ValidConfig()
    mix: MixConfig = MixConfig()


class WordMix(ChannelConfig):
    """Ranges from which clips with planted words are drawn."""

    snr_db: Span = (0.0, 30.0)
    clean: Chance = 0.15
    no_word: Chance = Field(default=0.25, description="Clips of running speech and noise alone")
    other_word: Chance = Field(default=0.1, description="Words that are no label, among the words")
    speech: Chance = Field(default=0.15, description="Running speech among the words")
    piece: Chance = Field(
        default=0.12, description="Pieces of running speech that stand alone as a word does"
    )
    impostor: Chance = Field(
        default=0.1, description="Words cut off, turned round or two at once, among the words"
    )
    burst: Chance = Field(default=0.06, description="Noises that stand alone as a word does")
    pause: float = Field(
        default=0.45, ge=0, description="Seconds of no other sound before and behind a word"
    )
    music: Chance = 0.2
    synthetic_noise: Chance = 0.25
    room: Chance = 0.25
    tempo: Chance = Field(default=0.6, description="Words played faster or slower, and higher so")
    vocal_tract: Chance = Field(default=0.5, description="Words of a longer or shorter mouth")
    masking: Chance = Field(default=0.3, description="Words that lack a band of frequencies")
    gap: Chance = Field(default=0.15, description="Words that lack a moment")
    telephone: Chance = 0.08
    low_rate: Chance = 0.1

    @model_validator(mode="after")
    def _words_are_left(self) -> WordMix:
        rest = self.other_word + self.speech + self.piece + self.impostor + self.burst
        if rest >= 1.0:
            raise ValueError(
                "other_word + speech + piece + impostor + burst is "
                f"{rest:g}, expected less than 1: the rest are words"
            )
        return self


class WordsConfig(Table):
    """Keyword spotting from clips of single words, planted in running audio while training."""

    sets: tuple[DataSet, ...] = Field(min_length=1)
    valid: ValidConfig = ValidConfig()
    mix: WordMix = WordMix()
    after: float = Field(
        default=0.1,
        ge=0,
        description="Seconds behind a word from which it counts: silence shows that it is over",
    )
    hold: float = Field(default=0.4, gt=0, description="Seconds behind it until which it counts")
    false_per_hour: float = Field(
        default=2.0, gt=0, description="Alarms on validation material at the chosen threshold"
    )

    @model_validator(mode="after")
    def _word_counts(self) -> WordsConfig:
        if self.hold <= self.after:
            raise ValueError(f"hold is {self.hold:g}, expected more than after, {self.after:g}")
        return self


class MachineSet(Table):
    """Tables of telemetry (see `surnn.dataset.telemetry`)."""

    folder: str
    role: Literal["train", "valid", "test"]
    licence: str
    source: str = ""
    files: tuple[str, ...] = Field(default=("*",), description="Patterns of names")
    score: Literal["rows", "windows"] = Field(
        default="rows", description="rows: F1, as SKAB; windows: NAB's score"
    )


class MachineConfig(Table):
    """Anomalies of telemetry by the errors of forecasts."""

    sets: tuple[MachineSet, ...] = Field(min_length=1)
    rule: AnomalyRule = AnomalyRule()


class SensorMix(Table):
    """How motion recordings are varied."""

    rotation: float = Field(default=0.3, ge=0, description="Largest tilt of the axes, radians")
    gain: Span = (0.85, 1.2)
    noise: float = Field(default=0.05, ge=0, description="In standard deviations of a channel")
    tempo: Span = (0.85, 1.2)


class SensorConfig(Table):
    """Activities from phone and watch recordings (arrays and index tables, see `sensor`)."""

    folder: str
    licence: str
    source: str = ""
    mix: SensorMix = SensorMix()


class SoundMix(ChannelConfig):
    """How recordings of a project are varied while training."""

    equaliser: Chance = 0.3
    peak_db: Span = (-40.0, -1.0)
    clipping: Chance = 0.02
    offset: Chance = 0.05
    telephone: Chance = 0.0
    low_rate: Chance = 0.0
    noise: Chance = Field(default=0.4, description="Made-up noise behind the recording")
    snr_db: Span = (5.0, 30.0)
    room: Chance = 0.15
    pause: Chance = Field(default=0.3, description="Of silence between two recordings")


class SeriesMix(Table):
    """How sensor recordings of a project are varied while training."""

    noise: float = Field(default=0.05, ge=0, description="In standard deviations of a channel")
    gain: Span = (0.9, 1.1)
