"""`surnn bench ...` and `surnn warmup`: measure this machine, compile kernels beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from surnn_cli.errors import CommandError

__all__ = ["bench", "warmup"]

bench = typer.Typer(
    help="Measure kernels, features, streams and a server under load.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write the JSON to a file as well.")
]
Rounds = Annotated[int, typer.Option(help="Turns of each contestant.", min=1)]
ModelName = Annotated[str, typer.Option("--model", "-m", help="Name or path.")]
Chunk = Annotated[int, typer.Option("--chunk-ms", help="Audio in one message.", min=10)]
Pinned = Annotated[
    bool, typer.Option("--pinned/--free", help="Server on one core, load on another.")
]
Bound = Annotated[float, typer.Option("--p99-ms", help="Bound on latency.", min=1)]
Confirming = Annotated[float, typer.Option(help="Length of the confirming run.", min=1)]
FirstTry = Annotated[int, typer.Option(help="Streams to try first.", min=1)]
MostStreams = Annotated[int, typer.Option(help="Most streams to try.", min=1)]
Audio = Annotated[
    Path | None, typer.Option("--audio", help="Recording to play. [default: bursts of noise]")
]


@bench.command("kernel")
def kernel(
    hidden: Annotated[str, typer.Option(help="Layer sizes.")] = "64,128,256,512",
    batch: Annotated[str, typer.Option(help="Sessions at once.")] = "1,8,64,256",
    open_rate: Annotated[str, typer.Option(help="Shares of open switches.")] = "0.05,0.17,0.5",
    rounds: Rounds = 9,
    curve: Annotated[bool, typer.Option(help="Ten open rates for hidden 256, batch 1.")] = True,
    json: Json = False,
    output: Output = None,
) -> None:
    """One layer: native kernels, ONNX Runtime's GRU node, torch.nn.GRU, same weights."""
    _need_native()
    from surnn.bench.kernel import KernelBench, bench_kernel

    options = KernelBench(
        hidden=_numbers(hidden, int),
        batch=_numbers(batch, int),
        open_rate=_numbers(open_rate, float),
        rounds=rounds,
        curve=KernelBench.curve if curve else (),
    )
    _finish(bench_kernel(options, _progress), json, output)


@bench.command("features")
def features(rounds: Rounds = 9, json: Json = False, output: Output = None) -> None:
    """The log-mel front end against FFTs from libraries."""
    _need_native()
    from surnn.bench.features import FeatureBench, bench_features

    _finish(bench_features(FeatureBench(rounds=rounds)), json, output)


@bench.command("stream")
def stream(
    model: ModelName = "vad",
    audio: Audio = None,
    chunk_ms: Chunk = 100,
    rounds: Rounds = 7,
    json: Json = False,
    output: Output = None,
) -> None:
    """PCM in, events out, one core: native, ONNX, and other detectors if installed."""
    from surnn.bench.stream import StreamBench, bench_stream

    options = StreamBench(model=model, pcm=_pcm(audio), chunk_ms=chunk_ms, rounds=rounds)
    _finish(bench_stream(options), json, output)


@bench.command("server")
def server(
    model: ModelName = "vad",
    streams: Annotated[str, typer.Option(help="Streams at once.")] = "1,100,500,800,1000",
    seconds: Annotated[float, typer.Option(help="Length of each run.", min=0.5)] = 20.0,
    chunk_ms: Chunk = 100,
    audio: Audio = None,
    pinned: Pinned = True,
    json: Json = False,
    output: Output = None,
) -> None:
    """Paced WebSocket streams against a server of its own: latency, CPU, memory."""
    from surnn.bench.server import ServerBench, bench_server

    options = ServerBench(
        model=model,
        streams=_numbers(streams, int),
        seconds=seconds,
        chunk_ms=chunk_ms,
        pcm=_pcm(audio),
        pinned=pinned,
    )
    _finish(bench_server(options), json, output)


@bench.command("capacity")
def capacity(
    model: ModelName = "vad",
    p99_ms: Bound = 50.0,
    seconds: Confirming = 60.0,
    chunk_ms: Chunk = 100,
    start: FirstTry = 800,
    limit: MostStreams = 8000,
    pinned: Pinned = True,
    json: Json = False,
    output: Output = None,
) -> None:
    """Search the largest number of streams whose p99 latency stays within a bound."""
    from surnn.bench.capacity import CapacityBench, bench_capacity

    options = CapacityBench(
        model=model,
        p99_ms=p99_ms,
        seconds=seconds,
        chunk_ms=chunk_ms,
        start=start,
        limit=limit,
        pinned=pinned,
    )
    _finish(bench_capacity(options, _progress), json, output)


@bench.command("processes")
def processes(
    model: ModelName = "vad",
    workers: Annotated[int, typer.Option(help="Processes to compare one with.", min=2)] = 2,
    p99_ms: Bound = 50.0,
    seconds: Confirming = 20.0,
    chunk_ms: Chunk = 100,
    start: FirstTry = 800,
    limit: MostStreams = 8000,
    json: Json = False,
    output: Output = None,
) -> None:
    """Streams that one process holds on all cores, against `surnn serve --workers`."""
    from surnn.bench.capacity import CapacityBench, bench_processes

    options = CapacityBench(
        model=model,
        p99_ms=p99_ms,
        seconds=seconds,
        chunk_ms=chunk_ms,
        start=start,
        limit=limit,
        processes=workers,
    )
    _finish(bench_processes(options, _progress), json, output)


@bench.command("gpu")
def gpu(
    hidden: Annotated[str, typer.Option(help="Layer sizes.")] = "128,256,512",
    batch: Annotated[str, typer.Option(help="Sessions at once.")] = "1,64,1024,16384",
    open_rate: Annotated[str, typer.Option(help="Shares of open switches.")] = "0.05,0.17,0.5",
    model: ModelName = "vad",
    rounds: Rounds = 15,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the bench on the CPU; measures nothing.")
    ] = False,
    json: Json = False,
    output: Output = None,
) -> None:
    """One layer on a GPU: our kernels, cuDNN's GRU, torch step by step; then live streams."""
    import os
    from importlib.util import find_spec

    if not all(find_spec(package) for package in ("torch", "triton")):
        raise CommandError("this needs torch and triton: pip install 'surnn[gpu]'")
    if dry_run:
        os.environ["TRITON_INTERPRET"] = "1"  # before the first import
    from surnn.bench.gpu import GpuBench, bench_gpu

    options = GpuBench.dry()
    if not dry_run:
        options = GpuBench(
            hidden=_numbers(hidden, int),
            batch=_numbers(batch, int),
            open_rate=_numbers(open_rate, float),
            model=model,
            rounds=rounds,
        )
    _finish(bench_gpu(options, _progress), json, output)


@bench.command("report")
def report(
    data: Annotated[Path, typer.Argument(help="Folder of JSON reports.")] = Path("docs/data"),
    page: Annotated[Path, typer.Option("--page", help="Page to write.")] = Path(
        "docs/performance.md"
    ),
) -> None:
    """Write docs/performance.md and its plots from the JSON reports."""
    from surnn.bench.report import write_report

    for path in write_report(data, page):
        typer.echo(str(path))


def warmup(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Names or paths. [default: all shipped that the native runtime runs]"),
    ] = None,
) -> None:
    """Compile the native kernels now, so that no server or stream has to wait for it."""
    _need_native()
    import time

    from surnn import installed, load
    from surnn.kernels.cache import cache_directory, instruction_set
    from surnn.runtimes.native import WEIGHTS_FILE

    shipped = [name for name, path in installed().items() if (path.parent / WEIGHTS_FILE).is_file()]
    for name in models or shipped:
        began = time.perf_counter()
        load(name, runtime="native")  # loading compiles
        typer.echo(f"{name}: {time.perf_counter() - began:.1f} s")
    typer.echo(f"kernels for {instruction_set()} are in {cache_directory()}")


def _need_native() -> None:
    from importlib.util import find_spec

    if find_spec("numba") is None:
        raise CommandError("this needs numba, which is missing: pip install 'surnn[native]'")


def _numbers(text: str, kind: Callable[[str], Any]) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise CommandError(f"got {text!r}, expected numbers separated by commas") from None


def _pcm(audio: Path | None) -> bytes | None:
    """A recording as 16 kHz mono PCM, 16 bits."""
    if audio is None:
        return None
    import numpy as np
    import soundfile

    samples, rate = soundfile.read(audio, dtype="float32", always_2d=True)
    if rate != 16_000:
        raise CommandError(f"{audio.name} has {rate} samples per second, expected 16000")
    mono = np.clip(samples.mean(axis=1) * 32768, -32768, 32767)
    return bytes(mono.astype("<i2").tobytes())


def _progress(line: str) -> None:
    typer.echo(line, err=True)


def _finish(result: Mapping[str, object], json: bool, output: Path | None) -> None:
    import orjson

    text = orjson.dumps(result, option=orjson.OPT_INDENT_2).decode()
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text + "\n")
    if json:
        typer.echo(text)
    else:
        from surnn.bench.tables import markdown

        typer.echo(markdown(result))
