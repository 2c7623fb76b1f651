"""Words against events: right, wrong, missed and false, counted by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from surnn.dataset.labelled import Truth
from surnn.evaluate import evaluate
from surnn.listening import Heard
from surnn.model import Model
from surnn.segments import Segment
from surnn.spec import EventRule, Head, LayerSpec, LogMelFrontEnd, ModelKind, ModelSpec
from surnn.spotting import spots, word_figures
from surnn.types import Float32

SPEC = ModelSpec(
    name="words",
    kind=ModelKind.AUDIO,
    sample_rate=16_000,
    hop=160,
    frontend=LogMelFrontEnd(),
    layers=(LayerSpec(hidden=4),),
    labels=("none", "yes", "no"),
    head=Head.SOFTMAX,
    events=tuple(
        EventRule(label=n, on=0.6, off=0.3, min_on=0.05, min_off=0.2, point=True)
        for n in ("yes", "no")
    ),
)


def heard(
    name: str, seconds: float, words: list[Segment], *held: tuple[int, float, float]
) -> Heard:
    """A recording in which columns hold a probability for 0.1 s from some time on."""
    frames = round(seconds * 100)
    probs = np.zeros((frames, 3), np.float32)
    for column, since, p in held:
        first = round(since * 100)
        probs[first : first + 10, column] = p
    probs[:, 0] = 1.0 - probs[:, 1:].sum(axis=1)
    truth = Truth(np.zeros((frames, 3), np.bool_), np.ones(frames, np.bool_))
    opened = np.zeros((frames, 1), np.float32)
    one = Heard(name, None, tuple(words), probs, opened, truth, seconds, 1.0)
    one.fields = {"room": "hall" if words else "street", "speaker": "x"}
    return one


def test_words_and_false_events_are_counted() -> None:
    words = [Segment(1.0, 1.5, "yes"), Segment(3.0, 3.5, "no"), Segment(5.0, 5.5, "no")]
    spoken = heard("a", 8.0, words, (1, 1.6, 0.9), (1, 3.2, 0.8), (2, 5.2, 0.5), (2, 7.0, 0.9))
    empty = heard("b", 36.0, [], (1, 10.0, 0.7), (2, 20.0, 0.4))
    figures = word_figures(SPEC, [spoken, empty])
    assert {k: figures[k] for k in ("words", "right", "wrong", "missed")} == {
        "words": 3,
        "right": 1,  # the second is called `yes`, the third is not sure enough
        "wrong": 1,
        "missed": 1,
    }
    assert figures["accuracy"] == pytest.approx(1 / 3)
    assert figures["forced_accuracy"] == pytest.approx(2 / 3)
    assert figures["delay_ms_median"] == pytest.approx(150.0)  # held for 50 ms, 100 ms behind it
    assert figures["false_beside_words"] == 1
    assert (figures["recordings_without"], figures["false"]) == (1, 1)
    assert figures["false_per_hour"] == pytest.approx(100.0)
    assert figures["labels"] == {
        "yes": {"words": 1, "right": 1, "called": 2},
        "no": {"words": 2, "right": 0, "called": 0},
    }
    assert figures["confusion"] == {"yes": {"yes": 1}, "no": {"yes": 1, "none": 1}}
    by = figures["by"]
    assert isinstance(by, dict)
    assert list(by) == ["room"]
    assert by["room"]["street"]["false_per_hour"] == pytest.approx(100.0)
    assert by["room"]["street"]["accuracy"] is None
    assert by["room"]["hall"]["false_per_hour"] is None
    json.dumps(figures, allow_nan=False)


def test_an_event_is_of_one_word_only() -> None:
    words = [Segment(1.0, 1.2, "yes"), Segment(1.3, 1.5, "yes")]
    figures = word_figures(SPEC, [heard("a", 4.0, words, (1, 1.35, 0.9))])
    assert (figures["right"], figures["missed"]) == (1, 1)


def test_clips_in_folders_get_silence_to_be_told_in(
    tmp_path: Path, audio_model: Model, bursts: Callable[..., Float32]
) -> None:
    """A word that ends with its file is told behind it, by a model that waits for that."""
    rules = (EventRule(label="speech", on=0.5, off=0.4, min_on=0.03, min_off=0.2, point=True),)
    spec = audio_model.spec.model_copy(update={"events": rules})
    model = Model(type(audio_model.runtime)(spec))  # type: ignore[call-arg]
    assert spots(spec)
    for folder, span in (("speech", (0.1, 0.4)), ("other", (0.0, 0.0))):
        (tmp_path / folder).mkdir()
        samples = bursts(0.4, span) if span[1] else bursts(0.4)
        for i in range(2):
            soundfile.write(tmp_path / folder / f"{i}.wav", samples, 16_000)
    figures = evaluate(model, tmp_path)
    words = figures["words"]
    assert isinstance(words, dict)
    assert (words["words"], words["right"], words["recordings_without"]) == (2, 2, 2)
    assert words["false"] == 0
    assert figures["seconds"] == pytest.approx(1.6)
