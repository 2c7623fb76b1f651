"""What is said about a stream at its end."""

from __future__ import annotations

import math

from rich.console import Console
from rich.text import Text

from surnn_cli.console import supports_blocks
from surnn_cli.timeline import Track, bars
from surnn_client import ModelInfo, Summary

__all__ = ["print_summary", "print_timeline"]

_MAX_ROWS = 8


def print_timeline(console: Console, track: Track, model: ModelInfo) -> None:
    """Probabilities and open rate over the whole stream."""
    if not track.seconds:
        return
    blocks = supports_blocks(console)
    names = (*model.labels[:_MAX_ROWS], "open rate")
    indent = max(len(name) for name in names)
    width = max(20, min(console.width - indent - 14, 100))
    for i, label in enumerate(model.labels[:_MAX_ROWS]):
        row = Text(f"  {label:<{indent}} |")
        row.append(bars(track.probs(i, width), blocks=blocks), style="green")
        console.print(row.append("| 0 to 1"))
    rates = track.open_rate(width)
    top = max(0.1, math.ceil(max(rates) * 10 - 1e-9) / 10)
    row = Text(f"  {'open rate':<{indent}} |")
    row.append(bars(rates, top=top, blocks=blocks), style="cyan")
    console.print(row.append(f"| 0 to {top:.0%}"))
    end = f"{track.seconds:.1f} s"
    console.print(f"  {'':<{indent}}  0 s{end:>{width - 3}}", style="dim")


def print_summary(console: Console, summary: Summary, model: ModelInfo) -> None:
    """Open rate by layer, updates done and skipped, and what it cost."""
    blocks = supports_blocks(console)
    full = "█" if blocks else "#"
    for i, (rate, neurons) in enumerate(
        zip(summary.sparsity.open_rate, model.layers, strict=False)
    ):
        row = Text(f"  layer {i}, {neurons:>4} neurons: {rate:6.1%} open  ")
        console.print(row.append(full * round(rate * 40), style="cyan"))
    sparsity, cost = summary.sparsity, summary.cost
    share = sparsity.skipped / sparsity.possible if sparsity.possible else 0.0
    console.print(
        f"  updates: {sparsity.updates:,} done, {sparsity.skipped:,} skipped "
        f"({share:.1%} of {sparsity.possible:,})"
    )
    console.print(
        f"  {summary.events} events in {summary.seconds:.2f} s; computed in "
        f"{cost.compute_ms:.1f} ms, {cost.realtime_factor:,.0f}x faster than real time"
    )
