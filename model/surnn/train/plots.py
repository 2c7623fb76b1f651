"""Figures of a training run, as PNG files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from surnn.metrics import auc, roc
from surnn.train.card import FIGURES
from surnn.train.loop import Fit, History
from surnn.train.task import Example, Report
from surnn.types import Float32, Int64

__all__ = [
    "STYLE",
    "confusion_table",
    "learning",
    "raster",
    "roc_curves",
    "switch_rates",
    "write_plots",
]

_BLUE, _ORANGE, _GREEN, _GREY = "#2f6db5", "#d9722e", "#3a8f5c", "#888888"
STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.dpi": 130,
    "figure.constrained_layout.use": True,
}


def write_plots(found: Fit, out: Path) -> dict[str, str]:
    """Draw every figure that the run has data for. Returns title → file name."""
    report = found.report
    images: dict[str, str] = {}
    with mpl.rc_context(STYLE):
        drawn = {"Learning curve": learning(found.history)} if found.history.steps else {}
        if report.curves:
            drawn["ROC"] = roc_curves(report)
        if report.example is not None:
            drawn["Switches"] = raster(report.example)
        if report.confusion is not None:
            drawn["Confusion"] = confusion_table(*report.confusion)
        if report.neuron_rates:
            drawn["Open rate"] = switch_rates(report.neuron_rates)
        for title, figure in drawn.items():
            images[title] = FIGURES[title]
            figure.savefig(out / images[title])
            plt.close(figure)
    return images


def learning(history: History) -> Figure:
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(7.0, 5.0), sharex=True)
    top.plot(history.steps, history.loss, color=_BLUE, alpha=0.2, linewidth=0.6)
    top.plot(history.steps, _smooth(history.loss), color=_BLUE, label="training loss")
    top.set_ylabel("cross entropy (nats)")
    top.set_ylim(0.0, float(np.percentile(history.loss or [1.0], 99.5)) * 1.1)
    if history.valid_steps:
        right = top.twinx()
        right.grid(visible=False)
        right.plot(
            history.valid_steps,
            history.valid_score,
            "o-",
            color=_ORANGE,
            markersize=3.5,
            label="held-out score",
        )
        right.set_ylabel("held-out score")
        right.spines["right"].set_visible(True)
        handles = [*top.get_lines()[1:], *right.get_lines()]
        top.legend(handles=handles, loc="upper center")
    bottom.plot(history.steps, history.open_rate, color=_GREEN, linewidth=1.0)
    bottom.set_ylim(0.0, max(0.3, 1.15 * max(history.open_rate or [0.0])))
    bottom.set_ylabel("open rate (share of neurons)")
    bottom.set_xlabel("training step")
    return figure


def _smooth(values: list[float], width: int = 51) -> ArrayLike:
    width = min(width, max(1, len(values) // 4))
    padded = np.pad(np.asarray(values), (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1.0 / width), mode="valid")


def roc_curves(report: Report) -> Figure:
    figure, axes = plt.subplots(figsize=(5.0, 4.6))
    colours = plt.get_cmap("viridis")(np.linspace(0.05, 0.85, len(report.curves)))
    for (name, (scores, truth)), colour in zip(report.curves.items(), colours, strict=True):
        area = auc(scores, truth)
        if area is None:
            continue
        alarm, hit, _ = roc(scores, truth)
        thin = np.unique(np.linspace(0, len(alarm) - 1, 800).astype(int))
        axes.plot(100 * alarm[thin], 100 * hit[thin], color=colour, label=f"{name}, AUC {area:.3f}")
    axes.set_xlim(0, 40)
    axes.set_ylim(60, 100)
    axes.set_xlabel("false alarms (% of frames without)")
    axes.set_ylabel("found (% of frames with)")
    axes.legend(loc="lower right")
    return figure


def confusion_table(labels: tuple[str, ...], table: Int64) -> Figure:
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(5.4, 4.6))
    axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.grid(visible=False)
    axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    for (row, column), value in np.ndenumerate(share):
        colour = "white" if value > 0.5 else "black"
        axes.text(column, row, f"{value:.0%}", ha="center", va="center", color=colour)
    axes.set_xlabel("called (share of the row)")
    axes.set_ylabel("true label")
    return figure


def raster(example: Example) -> Figure:
    layers = len(example.gates)
    heights = [1.0, 1.1, 0.7, *[1.5] * layers]
    figure, axes = plt.subplots(
        3 + layers, 1, figsize=(9.0, 3.2 + 1.6 * layers), sharex=True, height_ratios=heights
    )
    seconds = len(example.truth) / example.frame_rate
    _signal(axes[0], example, seconds)
    frames = (np.arange(len(example.truth)) + 0.5) / example.frame_rate
    colours = plt.get_cmap("tab10")(np.arange(len(example.labels)) % 10)
    shown = [
        c
        for c in range(len(example.labels))
        if example.truth[:, c].any() or example.probs[:, c].max() > 0.2
    ]
    for c in shown:
        label = example.labels[c]
        axes[1].fill_between(
            frames, 0, example.truth[:, c], step="mid", color=colours[c], alpha=0.18, linewidth=0
        )
        axes[1].plot(frames, example.probs[:, c], color=colours[c], linewidth=1.1, label=label)
    axes[1].set_ylim(-0.02, 1.02)
    axes[1].set_ylabel("probability")
    axes[1].legend(
        loc="lower right", bbox_to_anchor=(1.0, 0.98), fontsize=7, ncols=min(8, max(1, len(shown)))
    )
    _open_rate(axes[2], example, frames)
    for i, gates in enumerate(example.gates):
        panel = axes[3 + i]
        panel.imshow(
            gates.T,
            aspect="auto",
            interpolation="nearest",
            cmap="Blues",
            vmin=0,
            vmax=1,
            extent=(0.0, seconds, len(gates[0]), 0.0),
        )
        panel.grid(visible=False)
        panel.set_ylabel(f"layer {i + 1}\nswitch")
        panel.set_title(f"open {gates.mean():.1%} of the time", fontsize=8, loc="right")
    axes[-1].set_xlabel("time (s)")
    return figure


def _open_rate(axes: Axes, example: Example, frames: ArrayLike) -> None:
    """Share of open switches in a tenth of a second."""
    width = max(1, round(0.1 * example.frame_rate))
    for i, (gates, colour) in enumerate(
        zip(example.gates, (_BLUE, _ORANGE, _GREEN, _GREY), strict=False)
    ):
        rate = np.convolve(gates.mean(axis=1), np.full(width, 1.0 / width), mode="same")
        axes.plot(frames, rate, color=colour, linewidth=1.0, label=f"layer {i + 1}")
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("open rate")
    axes.legend(loc="upper right", fontsize=7, ncols=len(example.gates))


def _signal(axes: Axes, example: Example, seconds: float) -> None:
    signal = example.signal
    # Extremes of each pixel column, so that peaks survive the thinning.
    columns = min(1200, len(signal))
    edges = np.linspace(0, len(signal), columns + 1).astype(int)[:-1]
    t = np.linspace(0.0, seconds, columns)
    low, high = np.minimum.reduceat(signal, edges), np.maximum.reduceat(signal, edges)
    axes.fill_between(t, low, high, color=_GREY, linewidth=0.4, edgecolor=_GREY)
    axes.set_ylabel(example.signal_unit)
    axes.set_title(example.title, fontsize=9.5)


def switch_rates(layers: list[Float32]) -> Figure:
    figure, axes = plt.subplots(figsize=(5.4, 3.4))
    bins = np.linspace(0.0, 1.0, 41).tolist()
    for i, (rates, colour) in enumerate(zip(layers, (_BLUE, _ORANGE, _GREEN, _GREY), strict=False)):
        axes.hist(
            rates,
            bins=bins,
            alpha=0.6,
            color=colour,
            label=f"layer {i + 1}, mean {rates.mean():.2f}",
        )
    axes.set_xlabel("open rate of a switch (share of frames)")
    axes.set_ylabel("switches")
    axes.legend()
    return figure
