"""Spoken digits: where the word is, when it is asked for, who speaks to whom."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from surnn.errors import InvalidConfig, InvalidInput
from surnn.nn import Network
from surnn.tasks.benchmark import Split
from surnn.tasks.spoken_digits import HOP, SpokenDigits, fast


def test_the_word_is_in_the_frames_before_the_question(digits: Path) -> None:
    task = SpokenDigits(fast(), digits)
    (batch,) = task.held_out(Split.TEST)
    assert batch.frames.shape == (10, 250, HOP)
    loud = batch.frames.abs().amax(dim=-1) > 0.05
    for row in range(10):
        heard = loud[row].nonzero()[:, 0]
        asked = batch.weights[row].nonzero()[:, 0]
        assert 19 <= len(heard) <= 22, "0.2 seconds"
        assert heard[0] <= 50, "it begins in the first half second"
        assert 10 <= asked[0] - heard[-1] <= 12
        assert asked.tolist() == list(range(int(asked[0]), 250)), "to the end"
        assert (batch.targets[row].argmax(-1) == row).all()
    quiet = batch.frames[~loud.unsqueeze(-1).expand_as(batch.frames)]
    assert 0 < quiet.square().mean().sqrt() < 0.03


def test_noise_has_the_level_asked_for(digits: Path) -> None:
    task = SpokenDigits(fast(), digits)
    batch = task.draw(np.random.default_rng(1), Split.VALID, 4, 250)
    tail = batch.frames[:, 150:]
    assert 20 * torch.log10(tail.square().mean().sqrt()) == pytest.approx(-70.0, abs=0.2)


def test_speakers_are_in_one_split_only(digits: Path) -> None:
    """Every speaker hums at frequencies of his own: 20 Hz apart."""
    task = SpokenDigits(fast(), digits)
    for number, split in ((1, Split.VALID), (2, Split.TEST)):
        (batch,) = task.held_out(split)
        for digit, frames in enumerate(batch.frames.reshape(10, -1).numpy()):
            peak = np.abs(np.fft.rfft(frames)).argmax() * 8000 / len(frames)
            assert peak == pytest.approx(300 + 200 * digit + 20 * number, abs=3)


def test_recall_is_asked_of_recordings_that_are_over(digits: Path) -> None:
    task = SpokenDigits(fast().model_copy(update={"silence": (0.1, 0.5)}), digits)
    torch.manual_seed(0)
    points = task.remembered(Network(task.spec))
    assert [point.seconds for point in points] == [0.1, 0.5]
    assert all(0 <= p.accuracy <= 1 and 0 <= p.carried <= 1 for p in points)


def test_missing_or_odd_data_is_named(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="needs a data folder with spoken digits"):
        SpokenDigits(fast(), None)
    with pytest.raises(InvalidInput, match=r"holds no clips\.csv"):
        SpokenDigits(fast(), tmp_path)
    everyone = fast().model_copy(update={"test_speakers": ("nobody",)})
    with pytest.raises(InvalidInput, match=r"leaves nothing for test, expected speakers there"):
        SpokenDigits(everyone, digits)
    shutil.copytree(digits / "kws_fsdd", tmp_path / "kws_fsdd")
    soundfile.write(tmp_path / "kws_fsdd" / "anna.flac", np.zeros(100), 16_000)
    with pytest.raises(InvalidInput, match=r"anna\.flac has 16000 samples per second"):
        SpokenDigits(fast(), tmp_path)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (("gone.flac", 0, 10, 1, "anna"), r"gone\.flac cannot be read"),
        (("anna.flac", 0, 10, "ten", "anna"), r"clips\.csv, line 2: .* expected whole numbers"),
        (("anna.flac", 0, 10, 12, "anna"), r"clips\.csv, line 2: .* a digit"),
        (("anna.flac", 10, 10, 1, "anna"), r"clips\.csv, line 2: samples 10 to 10"),
        (("anna.flac", 0, 10**6, 1, "anna"), r"clips\.csv, line 2: samples 0 to 1000000"),
    ],
)
def test_a_wrong_row_is_named(
    digits: Path, tmp_path: Path, row: tuple[object, ...], complaint: str
) -> None:
    shutil.copytree(digits / "kws_fsdd", tmp_path / "kws_fsdd")
    with (tmp_path / "kws_fsdd" / "clips.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "start_sample", "end_sample", "digit", "speaker"))
        writer.writerow(row)
    with pytest.raises(InvalidInput, match=complaint):
        SpokenDigits(fast(), tmp_path)
