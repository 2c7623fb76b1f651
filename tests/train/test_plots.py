"""Every figure that a run has data for is drawn, and not blank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from surnn.nn import Network
from surnn.spec import Head, LayerSpec, LogMelFrontEnd, ModelKind, ModelSpec
from surnn.train.loop import Fit, History
from surnn.train.plots import write_plots
from surnn.train.task import Example, Report


@pytest.fixture
def found() -> Fit:
    spec = ModelSpec(
        name="drawn",
        kind=ModelKind.AUDIO,
        sample_rate=16_000,
        hop=160,
        frontend=LogMelFrontEnd(bands=4),
        layers=(LayerSpec(hidden=2),),
        labels=("speech",),
        head=Head.SIGMOID,
    )
    history = History(
        steps=[1, 2, 3],
        loss=[0.7, 0.5, 0.4],
        open_rate=[0.2, 0.2, 0.2],
        valid_steps=[3],
        valid_score=[0.9],
    )
    return Fit(Network(spec), Report(score=0.9, summary="", figures={}), history)


def test_a_bare_run_gets_its_learning_curve(found: Fit, tmp_path: Path) -> None:
    assert write_plots(found, tmp_path) == {"Learning curve": "learning.png"}


def test_a_full_run_gets_every_figure(found: Fit, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(500) < 0.5
    scores = (truth + rng.normal(0, 0.5, 500)).astype(np.float32)
    found.report.curves = {"0 dB": (scores, truth), "speech only": (scores, np.ones(500, bool))}
    found.report.neuron_rates = [rng.random(16).astype(np.float32)] * 2
    found.report.confusion = (("sit", "walk"), np.array([[8, 2], [0, 0]]))
    found.report.example = Example(
        title="Held out",
        frame_rate=100.0,
        signal=rng.standard_normal(80_000).astype(np.float32),
        signal_unit="amplitude",
        labels=("speech",),
        truth=truth[:, None].astype(np.float32),
        probs=np.clip(scores, 0, 1)[:, None],
        gates=[(rng.random((500, 16)) < 0.2).astype(np.float32)] * 2,
    )
    images = write_plots(found, tmp_path)
    assert list(images) == ["Learning curve", "ROC", "Switches", "Confusion", "Open rate"]
    for name in images.values():
        pixels = image.imread(tmp_path / name)
        assert min(pixels.shape[:2]) > 300
        assert pixels[..., :3].std() > 0.02
