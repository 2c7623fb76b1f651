"""A training run as one TOML file: what to learn from, what to build, how long to train."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from surnn.dataset.options import Columns, Labelling, SplitRule
from surnn.errors import InvalidConfig
from surnn.nn.slopes import SURROGATE_WIDTH, Surrogate
from surnn.spec import EncoderSpec, EventRule, Head, LayerSpec, LogMelFrontEnd
from surnn.train.config_data import (
    AudioConfig,
    Chance,
    MachineConfig,
    SensorConfig,
    SeriesMix,
    SoundMix,
    Table,
    WordsConfig,
)

__all__ = [
    "Budget",
    "Config",
    "LossConfig",
    "ModelConfig",
    "Optimiser",
    "SwitchTraining",
    "Training",
    "read_config",
]


class ModelConfig(Table):
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


class Optimiser(Table):
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


class Budget(Table):
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


class SwitchTraining(Table):
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


class LossConfig(Table):
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


class Training(Table):
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
