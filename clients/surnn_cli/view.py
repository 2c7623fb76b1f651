"""How a stream looks: events as lines, and on a terminal the last seconds below them, live."""

from __future__ import annotations

from collections import deque
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from surnn_cli.console import supports_blocks
from surnn_cli.timeline import Track, bars
from surnn_client import (
    Chunk,
    EventMessage,
    Message,
    ModelInfo,
    Reconnected,
    Summary,
    Warning_,
)

__all__ = ["StreamView"]

_STYLES = {"start": "bold green", "end": "yellow", "point": "bold cyan"}
_MAX_ROWS = 8


class StreamView:
    """Shows the messages of one stream. A context manager."""

    def __init__(self, console: Console, model: ModelInfo) -> None:
        self.console = console
        self.track = Track()
        self.summary: Summary | None = None
        self._model = model
        self._blocks = supports_blocks(console)
        self._recent: deque[Chunk] = deque(maxlen=400)
        self._compute_ms = 0.0
        self._updates = self._possible = 0
        self._label_width = max(len("open"), *(len(label) for label in model.labels))
        live = console.is_terminal and not console.is_dumb_terminal
        self._live = (
            Live(console=console, get_renderable=self._render, refresh_per_second=8, transient=True)
            if live
            else None
        )

    def __enter__(self) -> StreamView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, message: Message) -> None:
        """Take the stream's next message."""
        if isinstance(message, Chunk):
            self.track.add(message)
            self._recent.append(message)
            self._compute_ms += message.cost.compute_ms
            self._updates += message.sparsity.updates
            self._possible += message.sparsity.possible
        elif isinstance(message, EventMessage):
            self.console.print(self._event(message))
        elif isinstance(message, Warning_):
            self.console.print(f"  warning: {message.message}", style="yellow", markup=False)
        elif isinstance(message, Reconnected):
            line = f"  connection lost ({message.reason}), gone on without a gap: {message.url}"
            self.console.print(line, style="yellow", markup=False)
        elif isinstance(message, Summary):
            self.summary = message

    def _event(self, event: EventMessage) -> Text:
        word = "peak " if event.kind == "end" else "score"
        line = Text(f"  {event.time:9.2f} s  {event.label:<{self._label_width}}  ")
        line.append(f"{event.kind:<5}", style=_STYLES.get(event.kind, "bold"))
        line.append(f"  {word} {event.score:.2f}")
        line.append(f"  latency {event.latency_ms:6.1f} ms", style="dim")
        return line

    def _render(self) -> RenderableType:
        if not self._recent:
            return Text("  waiting for the first results", style="dim")
        last = self._recent[-1]
        width = max(10, min(self.console.width - self._label_width - 24, len(self._recent), 120))
        recent = list(self._recent)[-width:]
        rows = [
            self._row(label, [c.probs[label].max for c in recent], f"{last.probs[label].max:.2f}")
            for label in self._model.labels[:_MAX_ROWS]
        ]
        means = [sum(r) / len(r) if (r := c.sparsity.open_rate) else 0.0 for c in recent]
        layers = " ".join(f"{rate:.0%}" for rate in last.sparsity.open_rate)
        rows.append(self._row("open", [2 * m for m in means], f"{layers} by layer"))
        rows.append(Text(f"  {self._status(last)}", style="dim"))
        return Group(*rows)

    def _row(self, name: str, values: list[float], figure: str) -> Text:
        style = "cyan" if name == "open" else "green"
        line = Text(f"  {name:<{self._label_width}} ")
        return line.append(bars(values, blocks=self._blocks), style=style).append(f" {figure}")

    def _status(self, last: Chunk) -> str:
        skipped = 1 - self._updates / self._possible if self._possible else 0.0
        factor = last.end / max(self._compute_ms / 1000, 1e-9)
        return (
            f"{last.end:.1f} s heard, {skipped:.0%} of neuron updates skipped, "
            f"computed {factor:,.0f}x faster than real time"
        )
