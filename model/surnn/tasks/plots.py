"""The figure of docs/results.md: recall against the length of silence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from surnn.tasks.records import Record

__all__ = ["plot_recall"]

_STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.dpi": 130,
    "figure.constrained_layout.use": True,
}
_MARKERS = "osD^vP*X"


def plot_recall(records: Sequence[Record], path: Path) -> None:
    """Draw accuracy and exact carry of the runs of one task, side by side."""
    chance = records[0].score.chance
    trained = records[0].config["length"]
    with mpl.rc_context(_STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.7))
        for i, run in enumerate(records):
            seconds = [point.seconds for point in run.recall]
            name = " + ".join(layer.cell for layer in run.layers)
            style: dict[str, Any] = {"marker": _MARKERS[i % len(_MARKERS)], "markersize": 4.5}
            left.plot(seconds, [p.accuracy for p in run.recall], label=name, **style)
            right.plot(seconds, [p.carried for p in run.recall], label=name, **style)
        if chance is not None:
            left.axhline(chance, color="#888888", linewidth=0.8, linestyle=":")
            left.text(records[0].recall[0].seconds, chance + 0.01, "chance", fontsize=8)
        for axes in (left, right):
            axes.set_xscale("log")
            axes.set_xlabel(f"silence (s; 100 frames a second; trained on {trained / 100:g} s)")
        left.set_ylim(max(0.0, (chance or 0.0) - 0.05), 1.03)
        right.set_ylim(-0.03, 1.03)
        left.set_ylabel("recall accuracy")
        right.set_ylabel("neurons carried bit for bit (share)")
        right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        figure.savefig(path)
        plt.close(figure)
