"""A training run as one TOML file: what to learn from, what to build, how long to train."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from surnn.dataset.options import Columns, Labelling, SplitRule
from surnn.errors import InvalidConfig
from surnn.nn.slopes import SURROGATE_WIDTH, Surrogate
from surnn.spec import AnomalyRule, EncoderSpec, EventRule, Head, LayerSpec, LogMelFrontEnd

__all__ = [
    "AudioConfig",
    "Budget",
    "ChannelConfig",
    "Config",
    "DataSet",
    "LossConfig",
    "MachineConfig",
    "MachineSet",
    "MixConfig",
    "ModelConfig",
    "Optimiser",
    "SensorConfig",
    "SensorMix",
    "SeriesMix",
    "SoundMix",
    "SwitchTraining",
    "Training",
    "ValidConfig",
    "WordMix",
    "WordsConfig",
    "read_config",
]

Span = tuple[float, float]
"""Lowest and highest value; one is drawn between them."""
Chance = Annotated[float, Field(ge=0.0, le=1.0)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelConfig(_Table):
    """The model to build; the rest of its spec comes out of the training."""

    name: str
    version: str = "1"
    description: str = ""
    licence: str = ""
    sample_rate: int = 16_000
    hop: int = 160
    labels: tuple[str, ...] = ("speech",)
    head: Head = Head.SIGMOID
    frontend: LogMelFrontEnd = LogMelFrontEnd()
    encoder: EncoderSpec | None = None
    lookahead: int = 0
    layers: tuple[LayerSpec, ...]
    events: tuple[EventRule, ...] = ()


class Optimiser(_Table):
    """AdamW with one warm-up and a cosine down to `final_lr` at the end of the budget."""

    lr: float = Field(default=4e-3, gt=0)
    switch_lr: float = Field(default=4e-3, gt=0, description="For the parameters of the switches")
    final_lr: float = Field(default=0.01, ge=0, le=1, description="As a share of lr")
    warmup: float = Field(default=0.05, ge=0, le=0.5, description="As a share of the budget")
    weight_decay: float = Field(default=1e-4, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    average: float = Field(
        default=0.998, ge=0, lt=1, description="Decay of the running mean of weights; 0: none"
    )
    orthogonal: bool = Field(
        default=False, description="Recurrent matrices begin orthogonal, gate by gate"
    )


class Budget(_Table):
    """When to stop, whichever comes first, and how much to do at a time.

    A run that ends by its steps can be repeated exactly; one that ends by the clock cannot.
    """

    minutes: float = Field(default=40.0, gt=0)
    steps: int = Field(default=1_000_000, gt=0)
    batch: int = Field(default=32, gt=0, description="B")
    seconds: float = Field(default=6.0, gt=0, description="Length of a training clip")
    carry_state: Chance = Field(
        default=0.0, description="Share of clips that go on from the state of an earlier clip"
    )
    random_start: bool = Field(
        default=True, description="Clips begin at any frame number, like parts of a stream; or at 0"
    )
    validate_steps: int = Field(default=300, gt=0, description="Steps between validations")
    validate_minutes: float = Field(
        default=20.0, gt=0, description="Of held-out material in each validation on the way"
    )
    patience: int = Field(
        default=0, ge=0, description="Validations without a better score before stopping; 0: never"
    )
    threads: int = Field(default=1, gt=0)
    compiled: bool = Field(
        default=True, description="Train suGRU and GRU in compiled code, where numba is installed"
    )
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="bfloat16: mixed, with float32 weights and switches"
    )


class SwitchTraining(_Table):
    """How the switches learn, if they do."""

    surrogate: Surrogate = Surrogate.SIGMOID
    width: float = Field(default=SURROGATE_WIDTH, gt=0, description="Of the surrogate slope")
    frozen: bool = Field(default=False, description="Switches stay as they were drawn")
    every: int | None = Field(
        default=None, ge=3, description="All switches open in every n-th frame, and stay so"
    )
    soft: bool = Field(
        default=False,
        description="Sigmoid gates in training and in testing: for ablations, cannot be served",
    )


class LossConfig(_Table):
    """What is minimised beside the cross entropy.

    The price of open switches grows with the excess of their mean over a target, which may fall
    linearly from `open_start` to `open_target` over the first `open_anneal` of the budget.
    """

    edge_frames: int = Field(default=2, ge=0, description="Frames beside an edge that don't count")
    skip_frames: int = Field(default=10, ge=0, description="Frames at the start that don't count")
    open_target: float = Field(default=0.2, ge=0, le=1, description="Of each mean in the end")
    open_elsewhere: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="The target where no label holds; open_target is then that of labelled frames",
    )
    open_silence: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="The target where no label holds and audio is below -60 dBFS",
    )
    open_start: float | None = Field(
        default=None, ge=0, le=1, description="The target in the beginning; None: the same"
    )
    open_anneal: float = Field(default=0.5, gt=0, le=1, description="As a share of the budget")
    open_per: Literal["layer", "neuron"] = Field(
        default="layer", description="Whose mean: of a layer, or of each switch for itself"
    )
    open_weight: float = Field(default=0.0, ge=0)
    margin_weight: float = Field(
        default=0.0, ge=0, description="Pushes switches shut where no label holds (audio)"
    )
    class_weights: tuple[float, ...] | None = None
    false_weight: float = Field(
        default=0.0, ge=0, description="Frames without label count 1 + this * probability (sigmoid)"
    )


class DataSet(_Table):
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


class ChannelConfig(_Table):
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


class ValidConfig(_Table):
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


class AudioConfig(_Table):
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


class WordsConfig(_Table):
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


class MachineSet(_Table):
    """Tables of telemetry (see `surnn.dataset.telemetry`)."""

    folder: str
    role: Literal["train", "valid", "test"]
    licence: str
    source: str = ""
    files: tuple[str, ...] = Field(default=("*",), description="Patterns of names")
    score: Literal["rows", "windows"] = Field(
        default="rows", description="rows: F1, as SKAB; windows: NAB's score"
    )


class MachineConfig(_Table):
    """Anomalies of telemetry by the errors of forecasts."""

    sets: tuple[MachineSet, ...] = Field(min_length=1)
    rule: AnomalyRule = AnomalyRule()


class SensorMix(_Table):
    """How motion recordings are varied."""

    rotation: float = Field(default=0.3, ge=0, description="Largest tilt of the axes, radians")
    gain: Span = (0.85, 1.2)
    noise: float = Field(default=0.05, ge=0, description="In standard deviations of a channel")
    tempo: Span = (0.85, 1.2)


class SensorConfig(_Table):
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


class SeriesMix(_Table):
    """How sensor recordings of a project are varied while training."""

    noise: float = Field(default=0.05, ge=0, description="In standard deviations of a channel")
    gain: Span = (0.9, 1.1)


class Training(_Table):
    """What the training loop needs to know, whatever the task."""

    seed: int = 1
    budget: Budget = Budget()
    optimiser: Optimiser = Optimiser()
    loss: LossConfig = LossConfig()
    switches: SwitchTraining = SwitchTraining()


class Config(Training):
    """A whole training run on recordings."""

    task: Literal["audio", "sensor", "voice", "activity", "keywords", "machine"]
    notes: tuple[str, ...] = Field(default=(), description="For the model card")
    data: str | None = Field(default=None, description="Folder of the data sets")
    model: ModelConfig
    audio: AudioConfig | None = None
    sensor: SensorConfig | None = None
    keywords: WordsConfig | None = None
    machine: MachineConfig | None = None
    labels: Labelling = Labelling()
    split: SplitRule = SplitRule()
    columns: Columns = Columns()
    sound: SoundMix = SoundMix()
    series: SeriesMix = SeriesMix()

    @model_validator(mode="after")
    def _can_be_served(self) -> Config:
        if self.switches.soft:
            raise ValueError("soft switches are for ablations: such a model cannot be served")
        if self.budget.device != "cpu":
            raise ValueError("recordings are trained on the CPU, expected device 'cpu'")
        return self

    @model_validator(mode="after")
    def _has_data(self) -> Config:
        tables = {"voice": "audio", "activity": "sensor"}
        tables |= {"keywords": "keywords", "machine": "machine"}
        table = tables.get(self.task)
        if table is not None and getattr(self, table) is None:
            raise ValueError(f"task {self.task!r} needs a table [{table}]")
        if self.model.head is Head.LINEAR and self.task != "machine":
            raise ValueError(f"a linear head gives numbers, but task {self.task!r} has labels")
        if self.task == "sensor" and not self.columns.channels:
            raise ValueError("task 'sensor' needs columns.channels, the columns to hear")
        background = self.labels.background
        if background is not None and background not in self.model.labels:
            raise ValueError(
                f"labels.background is {background!r}, expected one of {list(self.model.labels)}"
            )
        return self


def read_config(path: Path) -> Config:
    """Read and check a config. Raises `InvalidConfig` naming every wrong key."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidConfig(f"{path}: no such file, expected a training config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{path}: not TOML: {error}") from None
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'config'}: "
            + ("unknown key" if e["type"] == "extra_forbidden" else e["msg"])
            for e in error.errors()
        )
        raise InvalidConfig(f"{path}: {problems}") from None
