"""Charts of an evaluation, as SVG for the report page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray

from surnn.metrics import auc, roc
from surnn.train.plots import STYLE
from surnn.types import Float32

__all__ = ["calibration_chart", "det_chart", "latency_chart", "roc_chart", "svg"]

Curves = Mapping[str, tuple[Float32, NDArray[np.bool_]]]
_POINTS = 400
_TICKS = (0.1, 0.5, 2, 5, 10, 20, 40, 60)


def svg(figure: Figure, title: str) -> str:
    """The figure as an SVG element that carries its own description, without fixed size."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return text.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)


def style() -> Any:
    """A context in which charts look alike, with text as text."""
    return mpl.rc_context(STYLE | {"svg.fonttype": "none", "svg.hashsalt": "surnn"})


def roc_chart(curves: Curves) -> Figure:
    """Share found against share of false alarms; the corner that matters is drawn large."""
    figure, axes = plt.subplots(figsize=(5.0, 4.2))
    for (name, (scores, truth)), colour in zip(curves.items(), _colours(curves), strict=True):
        alarm, hit, _ = _thin(scores, truth)
        area = auc(scores, truth)
        axes.plot(100 * alarm, 100 * hit, color=colour, label=f"{name}, AUC {area:.3f}")
    axes.set_xscale("symlog", linthresh=1.0, linscale=0.5)
    axes.set_xticks([0, 1, 2, 5, 10, 20, 50, 100], ["0", "1", "2", "5", "10", "20", "50", "100"])
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 101)
    axes.set_xlabel("false alarms (% of frames without the label)")
    axes.set_ylabel("found (% of frames with it)")
    _legend(axes, curves, "lower right")
    return figure


def det_chart(curves: Curves) -> Figure:
    """Missed against false alarms on normal-deviate scales (Martin et al., Eurospeech 1997)."""
    figure, axes = plt.subplots(figsize=(5.0, 4.2))
    for (name, (scores, truth)), colour in zip(curves.items(), _colours(curves), strict=True):
        alarm, hit, _ = _thin(scores, truth)
        inside = (alarm > 0) & (alarm < 1) & (hit > 0) & (hit < 1)
        if inside.any():
            equal = int(np.argmin(np.abs(alarm - (1 - hit))))
            error = 50.0 * (alarm[equal] + 1 - hit[equal])
            axes.plot(
                _probit(alarm[inside]),
                _probit(1 - hit[inside]),
                color=colour,
                label=f"{name}, equal error {error:.1f} %",
            )
    ticks = _probit(np.array(_TICKS) / 100.0).tolist()
    names = [f"{t:g}" for t in _TICKS]
    low, high = ticks[0], ticks[-1]
    axes.set_xticks(ticks, names)
    axes.set_yticks(ticks, names)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.plot([low, high], [low, high], color="#bbbbbb", linewidth=0.8, linestyle=":")
    axes.set_xlabel("false alarms (% of frames without the label)")
    axes.set_ylabel("missed (% of frames with it)")
    _legend(axes, curves, "upper right")
    return figure


def calibration_chart(bins: Sequence[Mapping[str, float]]) -> Figure:
    """Of what was called p, the share that is true; below, how often each p is called."""
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(5.0, 4.2), sharex=True, height_ratios=[3.0, 1.0]
    )
    top.plot([0, 100], [0, 100], color="#bbbbbb", linewidth=0.8, linestyle=":")
    called = [100 * b["probability"] for b in bins]
    top.plot(called, [100 * b["share"] for b in bins], "o-", color="#2f6db5", markersize=4)
    top.set_ylabel("true (%)")
    top.set_ylim(-2, 102)
    bottom.bar(called, [b["frames"] for b in bins], width=6.0, color="#2f6db5", alpha=0.5)
    bottom.set_yscale("log")
    bottom.set_ylabel("frames")
    bottom.set_xlabel("probability given (%)")
    bottom.set_xlim(0, 100)
    return figure


def latency_chart(latencies: Mapping[str, Sequence[float]]) -> Figure:
    """How long after its true start each event was sent, as a cumulated share."""
    figure, axes = plt.subplots(figsize=(5.0, 3.2))
    rows = {k: v for k, v in latencies.items() if v}
    for (label, values), colour in zip(rows.items(), _colours(rows), strict=True):
        late = np.sort(np.array(values)) * 1000.0
        share = 100.0 * np.arange(1, len(late) + 1) / len(late)
        axes.step(late, share, where="post", color=colour, label=f"{label} ({len(late)})")
    axes.axvline(0.0, color="#bbbbbb", linewidth=0.8)
    axes.set_ylim(0, 101)
    axes.set_xlabel("from the true start until the event is sent (ms)")
    axes.set_ylabel("events (%)")
    _legend(axes, rows, "lower right")
    return figure


def _thin(
    scores: Float32, truth: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], Float32]:
    """The ROC curve at a few hundred points, evenly spread over both axes."""
    alarm, hit, thresholds = roc(scores, truth)
    path = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(alarm)) + np.abs(np.diff(hit)))])
    fine = np.concatenate([np.geomspace(1e-4, 2.0, _POINTS // 2), np.linspace(0, 2, _POINTS // 2)])
    keep = np.unique(np.clip(np.searchsorted(path, fine), 0, len(path) - 1))
    return alarm[keep], hit[keep], thresholds[keep]


def _probit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    from statistics import NormalDist

    inverse = NormalDist().inv_cdf
    return np.array([inverse(min(max(float(x), 1e-6), 1 - 1e-6)) for x in p])


def _colours(rows: Iterable[object]) -> Any:
    count = len(list(rows))
    if count <= 10:
        return plt.get_cmap("tab10")(np.arange(count))
    return plt.get_cmap("viridis")(np.linspace(0.05, 0.9, count))


def _legend(axes: Any, rows: Mapping[str, object], place: str) -> None:
    if len(rows) > 5:  # beside the curves: they would be hidden
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7)
    elif rows:
        axes.legend(loc=place, fontsize=8)
