"""ListOps against another evaluator, which replaces innermost expressions in the text."""

from __future__ import annotations

import re
import statistics

import numpy as np
import pytest

from surnn.errors import InvalidConfig
from surnn.tasks.benchmark import Split
from surnn.tasks.config import with_settings
from surnn.tasks.listops import TOKENS, ListOps, evaluate, fast

INNERMOST = re.compile(r"\[(MIN|MAX|MED|SM) ([0-9 ]+) \]")


def by_replacing(text: str) -> int:
    """The value of an expression as text."""

    def value(found: re.Match[str]) -> str:
        numbers = [int(word) for word in found[2].split()]
        return str(
            {
                "MIN": min(numbers),
                "MAX": max(numbers),
                "MED": statistics.median_low(numbers),
                "SM": sum(numbers) % 10,
            }[found[1]]
        )

    while not text.isdigit():
        text, count = INNERMOST.subn(value, text)
        assert count, f"not an expression: {text}"
    return int(text)


def test_the_paper_s_example() -> None:
    assert evaluate(["[MAX", "2", "9", "[MIN", "4", "7", "]", "0", "]"]) == 9
    assert evaluate(["[SM", "7", "8", "[MED", "1", "2", "9", "4", "]", "]"]) == 7


def test_expressions_come_to_what_is_asked() -> None:
    task = ListOps(fast())
    batch = task.draw(np.random.default_rng(1), Split.TRAIN, 300, 64)
    tokens, answers = batch.frames.argmax(-1), batch.targets[:, -1].argmax(-1)
    seen, deepest = set(), 0
    for row, answer in zip(tokens.tolist(), answers.tolist(), strict=True):
        words = [TOKENS[token] for token in row]
        length = len(words) - words.count("empty")
        assert words[: len(words) - length] == ["empty"] * (len(words) - length)
        text = " ".join(words[-length:])
        assert by_replacing(text) == answer
        assert length >= task.config.shortest
        depth = [len(re.findall(r"\[", text[:i])) - text[:i].count("]") for i in range(len(text))]
        deepest = max(deepest, *depth)
        seen |= set(words)
    assert seen == set(TOKENS)
    assert deepest == task.config.depth
    assert len(set(answers.tolist())) == 10
    assert (batch.weights[:, :-1] == 0).all()


def test_expressions_that_cannot_fit_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="expressions of 100 tokens do not fit 64"):
        with_settings(fast(), {"shortest": 100})
