"""`surnn stream`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from surnn import Model
    from surnn_cli.sources import Source
    from surnn_client import Message, Ready

__all__ = ["stream"]

Run = Callable[[Iterator[bytes]], Iterator["Message"]]


def stream(
    file: Annotated[str, typer.Argument(help="Audio or sensor file; - for raw samples on stdin.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Name or path.")] = "vad",
    url: Annotated[
        str | None,
        typer.Option(
            help="Server to stream to, as in ws://localhost:8000, or several that stand in for "
            "each other, separated by commas. [default: no server]"
        ),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option("--api-key", envvar="SURNN_API_KEY", help="Of the server.", show_envvar=True),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="As fast as possible.")] = False,
    speed: Annotated[float, typer.Option(help="Times real time.", min=0.01)] = 1.0,
    rate: Annotated[
        int | None, typer.Option(help="Samples per second of stdin or a table.", min=1)
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(help="Of stdin: pcm_s16le, pcm_f32le, mulaw, ... [default: the model's]"),
    ] = None,
    channels: Annotated[int | None, typer.Option(help="Of stdin.", min=1)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print every message as JSON.")] = False,
) -> None:
    """Stream a file or a pipe as if it were live, and watch what is found.

    Ctrl-C ends the stream and still shows its summary.

        arecord -t raw -f S16_LE -r 16000 | surnn stream -
    """
    from surnn import load
    from surnn_cli.console import output
    from surnn_cli.interrupts import stop_on_interrupt
    from surnn_cli.sources import open_source
    from surnn_client import dump, paced

    local = None if url else load(model)
    with (
        stop_on_interrupt() as stop,
        open_source(
            file,
            spec=local.spec if local else None,
            rate=rate,
            encoding=encoding,
            channels=channels,
            stop=stop,
        ) as source,
        _embedded(source, local) if local else _connected(source, model, url, api_key) as (
            ready,
            run,
        ),
    ):
        chunks = source.chunks
        if not fast:
            pace = source.bytes_per_second(ready.model.sample_rate, sensor=ready.model.hop == 1)
            chunks = paced(chunks, pace, speed=speed, sleep=stop.sleep)
        if json:
            typer.echo(dump(ready))
            for message in run(chunks):
                typer.echo(dump(message))
        else:
            _show(output(), file, ready, run(chunks))


def _show(console: Console, file: str, ready: Ready, messages: Iterator[Message]) -> None:
    from surnn_cli.report import print_summary, print_timeline
    from surnn_cli.view import StreamView

    console.print(
        f"{'stdin' if file == '-' else file}: model {ready.model.name} "
        f"version {ready.model.version}",
        markup=False,
    )
    with StreamView(console, ready.model) as view:
        for message in messages:
            view.show(message)
    assert view.summary is not None, "a run ends with its summary, or raises"
    console.print()
    print_timeline(console, view.track, ready.model)
    console.print()
    print_summary(console, view.summary, ready.model)


@contextmanager
def _embedded(source: Source, model: Model) -> Iterator[tuple[Ready, Run]]:
    from surnn_cli.embedded import EmbeddedStream

    stream = EmbeddedStream(
        model,
        sample_rate=source.sample_rate,
        encoding=source.encoding,
        channels=source.channels,
    )
    yield stream.ready, stream.run


@contextmanager
def _connected(
    source: Source, model: str, url: str | None, api_key: str | None
) -> Iterator[tuple[Ready, Run]]:
    from surnn_client import connect

    with connect(
        [part.strip() for part in (url or "").split(",")],
        model=model,
        sample_rate=source.sample_rate,
        encoding=source.encoding,
        channels=source.channels,
        api_key=api_key,
    ) as stream:
        yield stream.ready, stream.run
