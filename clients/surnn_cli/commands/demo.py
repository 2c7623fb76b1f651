"""`surnn demo`: the main job from end to end, shown to someone who has never seen it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surnn_cli.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

    from surnn_cli.interrupts import Stop
    from surnn_client import Summary

__all__ = ["demo"]

_NEXT = (
    ("surnn stream FILE", "stream a recording; - reads a pipe"),
    ("surnn score FOLDER --format csv", "label a folder of recordings"),
    ("surnn serve", "run the server; docs at localhost:8000/docs"),
    ("surnn info vad", "layers, switches, state, measured figures"),
)


def demo(
    speed: Annotated[float, typer.Option(help="Times real time.", min=0.1)] = 8.0,
    model: Annotated[str, typer.Option("--model", "-m", help="Name or path.")] = "vad",
) -> None:
    """Start a server, stream a real recording through it, show what comes back."""
    from surnn import load
    from surnn.assets import demo_credit, demo_recording
    from surnn_cli.console import output
    from surnn_cli.interrupts import stop_on_interrupt
    from surnn_cli.server_process import running_server

    name = load(model).spec.name
    recording = demo_recording(name)
    console = output()
    console.print("[bold]surnn demo[/bold]: a server, a client, and a real recording between them")
    began = time.perf_counter()
    with stop_on_interrupt() as stop, running_server(model) as url:
        started = time.perf_counter() - began
        console.print(f"  server of model {name} ready at {url} in {started:.1f} s", style="dim")
        summary = _stream(console, recording, url, name, speed, stop)
        if stop.asked:
            raise CommandError("interrupted", exit_code=130)
    if not summary.events:
        raise CommandError("no event was found in the recording, expected speech", exit_code=1)
    credit = demo_credit(name)
    console.print(f"\nrecording: {credit}", style="dim", markup=False, soft_wrap=True)
    console.print("\n[bold]What to try next[/bold]")
    width = max(len(command) for command, _ in _NEXT)
    for command, what in _NEXT:
        console.print(f"  {command:<{width}}  [dim]{what}[/dim]", soft_wrap=True)


def _stream(
    console: Console, recording: Path, url: str, model: str, speed: float, stop: Stop
) -> Summary:
    """Show one recording streamed through the real client, and what it came to."""
    from surnn_cli.report import print_summary, print_timeline
    from surnn_cli.sources import open_source
    from surnn_cli.view import StreamView
    from surnn_client import connect, paced

    with (
        open_source(
            str(recording), spec=None, rate=None, encoding=None, channels=None, stop=stop
        ) as source,
        connect(
            url,
            model=model,
            sample_rate=source.sample_rate,
            encoding=source.encoding,
            channels=source.channels,
        ) as stream,
    ):
        pace = source.bytes_per_second(stream.ready.model.sample_rate, sensor=False)
        chunks = paced(source.chunks, pace, speed=speed, sleep=stop.sleep)
        console.print(
            f"  streaming {recording.name}, {source.seconds or 0:.1f} s, at {speed:g} times real "
            "time in chunks of 100 ms\n",
            style="dim",
        )
        with StreamView(console, stream.ready.model) as view:
            for message in stream.run(chunks):
                view.show(message)
    assert view.summary is not None, "a run ends with its summary, or raises"
    console.print("\n[bold]The whole recording[/bold]")
    print_timeline(console, view.track, stream.ready.model)
    console.print("\n[bold]How much of the network was updated[/bold]")
    print_summary(console, view.summary, stream.ready.model)
    return view.summary
