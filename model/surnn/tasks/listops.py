"""ListOps (arXiv 1804.06028), made up on the fly: what does a nested expression come to?

    [MAX 2 9 [MIN 4 7 ] 0 ]  =  9

Operators are MIN, MAX, MED (the lower of two middle ones) and SM (sum modulo 10). One token is one
frame, one-hot; short expressions have empty frames in front, and the answer, a digit, is asked for
at the last bracket. As in the Long Range Arena, brackets and operators are single tokens.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from surnn.spec import Head, LayerSpec, ModelSpec, SwitchMode, SwitchSpec
from surnn.tasks.benchmark import Benchmark, Metric, Split, classes, one_hot, sensor_spec
from surnn.tasks.config import TaskConfig
from surnn.train.config import Budget, LossConfig, Optimiser
from surnn.train.task import Batch

__all__ = ["TOKENS", "ListOps", "ListOpsConfig", "evaluate", "fast", "paper"]

OPERATORS = ("[MIN", "[MAX", "[MED", "[SM")
TOKENS = (*(str(digit) for digit in range(10)), *OPERATORS, "]", "empty")
_CLOSE, _EMPTY = TOKENS.index("]"), TOKENS.index("empty")


class ListOpsConfig(TaskConfig):
    """How large expressions are."""

    shortest: int = Field(default=8, ge=4, description="Tokens of an expression, at least")
    depth: int = Field(default=4, ge=1)
    arguments: int = Field(default=5, ge=2, description="Of one operator, at most")
    nesting: float = Field(
        default=0.35, ge=0, le=1, description="Chance that an argument is an expression"
    )

    @model_validator(mode="after")
    def _fits(self) -> ListOpsConfig:
        if self.shortest > self.length:
            raise ValueError(f"expressions of {self.shortest} tokens do not fit {self.length}")
        return self


class ListOps(Benchmark[ListOpsConfig]):
    """One digit from a nested expression."""

    name = "listops"
    about = "The value of a nested expression, one token a frame"

    @property
    def metric(self) -> Metric:
        """Accuracy of the digit."""
        return Metric("accuracy", higher_is_better=True, chance=0.1)

    def make_spec(self) -> ModelSpec:
        """Tokens in, a digit out."""
        return sensor_spec(
            self.name,
            self.about,
            self.config.layers,
            mean=(0.0,) * len(TOKENS),
            scale=(1.0,) * len(TOKENS),
            labels=[str(digit) for digit in range(10)],
            head=Head.SOFTMAX,
        )

    def draw(self, rng: np.random.Generator, split: Split, size: int, length: int) -> Batch:
        """See `Benchmark.draw`."""
        ids = np.full((size, length), _EMPTY)
        labels = np.zeros((size, length), np.int64)
        for row in range(size):
            tokens = self._expression(rng, length)
            ids[row, length - len(tokens) :] = tokens
            labels[row, -1] = evaluate([TOKENS[token] for token in tokens])
        weights = np.zeros((size, length), np.float32)
        weights[:, -1] = 1.0
        return classes(one_hot(ids, len(TOKENS)), labels, weights, 10)

    def _expression(self, rng: np.random.Generator, longest: int) -> list[int]:
        """One that is neither too short nor too long: others are drawn again."""
        shortest = min(self.config.shortest, longest)
        while True:
            tokens: list[int] = []
            self._write(rng, 1, longest, tokens)
            if shortest <= len(tokens) <= longest:
                return tokens

    def _write(self, rng: np.random.Generator, depth: int, longest: int, out: list[int]) -> None:
        config = self.config
        out.append(10 + int(rng.integers(len(OPERATORS))))
        for _ in range(int(rng.integers(2, config.arguments + 1))):
            if len(out) > longest:
                return  # too long already: it will be drawn again
            if depth < config.depth and rng.random() < config.nesting:
                self._write(rng, depth + 1, longest, out)
            else:
                out.append(int(rng.integers(10)))
        out.append(_CLOSE)


def evaluate(tokens: list[str]) -> int:
    """The value of one whole expression."""
    stack: list[list[int]] = []
    operators: list[str] = []
    for token in tokens:
        if token in OPERATORS:
            operators.append(token)
            stack.append([])
            continue
        if token == "]":
            value = _apply(operators.pop(), stack.pop())
            if not stack:
                return value
        else:
            value = int(token)
        stack[-1].append(value)
    raise AssertionError("expressions are written with all their brackets")


def _apply(operator: str, values: list[int]) -> int:
    match operator:
        case "[MIN":
            return min(values)
        case "[MAX":
            return max(values)
        case "[MED":
            return sorted(values)[(len(values) - 1) // 2]
        case _:
            return sum(values) % 10


def fast() -> ListOpsConfig:
    """Up to 64 tokens on one core."""
    switch = SwitchSpec(mode=SwitchMode.INPUT, open_rate=0.5)
    return ListOpsConfig(
        layers=(LayerSpec(hidden=128, switch=switch),),
        length=64,
        valid_sequences=512,
        test_sequences=2048,
        budget=Budget(minutes=120, steps=6000, batch=64, validate_steps=500),
        optimiser=Optimiser(
            lr=3e-3, switch_lr=1e-2, average=0.995, weight_decay=0.0, orthogonal=True
        ),
        loss=LossConfig(open_target=0.5, open_weight=0.1),
    )


def paper() -> ListOpsConfig:
    """500 to 2000 tokens, as in the Long Range Arena, on a GPU."""
    config = fast()
    layer = config.layers[0].model_copy(update={"hidden": 256})
    return config.model_copy(
        update={
            "layers": (layer, layer),
            "length": 2000,
            "shortest": 500,
            "depth": 10,
            "arguments": 10,
            "nesting": 0.4,
            "budget": Budget(
                minutes=600, steps=40_000, batch=64, validate_steps=1000, device="cuda"
            ),
        }
    )
