"""`surnn score`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from surnn_cli.errors import CommandError, report

if TYPE_CHECKING:
    from surnn.score import FileScore
    from surnn_cli.progress import FileProgress
    from surnn_client import FileScore as RemoteScore

__all__ = ["score"]


def score(
    files: Annotated[list[Path], typer.Argument(help="Recordings, or folders of them.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Name or path.")] = "vad",
    format: Annotated[
        str, typer.Option("--format", "-f", help="json, ndjson, csv, rttm, audacity or webvtt.")
    ] = "json",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write. [default: stdout]")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Server that is to score. [default: no server]")
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option("--api-key", envvar="SURNN_API_KEY", help="Of the server.", show_envvar=True),
    ] = None,
    rate: Annotated[
        int | None, typer.Option(help="Samples per second of tables, which do not say.", min=1)
    ] = None,
    frames: Annotated[
        bool, typer.Option("--frames", help="Every frame's probabilities too (json, ndjson).")
    ] = False,
    batch: Annotated[int, typer.Option(help="Files side by side.", min=1)] = 8,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Score recordings: labels with their times, in the usual formats.

    Exits with 1 when a file could not be scored; the others are written all the same.
    """
    from surnn import load
    from surnn.formats import parse_format, write
    from surnn.spec import ModelKind
    from surnn_cli.files import find_files
    from surnn_cli.progress import FileProgress

    chosen = parse_format(format)
    local = None if url else load(model)
    sensor = None if local is None else local.spec.kind is ModelKind.SENSOR
    paths = find_files(files, sensor=sensor)
    if chosen.single_file and len(paths) > 1:
        raise CommandError(
            f"{len(paths)} files, expected one: {chosen.value} has no place for their names"
        )
    if url and frames:
        raise CommandError("--frames is not known to servers, expected it without --url")
    failed: list[FileScore] = []
    with FileProgress(len(paths), show=not quiet) as progress:
        if local is None:
            scores = _remote(url or "", api_key, paths, model, rate, progress)
        else:
            from surnn.score import score_files

            scores = score_files(
                local,
                paths,
                batch=min(batch, len(paths)),
                frames=frames,
                sample_rate=rate,
                on_progress=progress.update,
            )
        with _out(output) as out:
            write(chosen, _watched(scores, failed), out)
    for item in failed:
        report(_failure(item))
    if failed:
        raise CommandError(f"{len(failed)} of {len(paths)} files failed", exit_code=1)


def _failure(item: FileScore) -> str:
    """What is wrong with a file, under the path that it was given by."""
    assert item.error is not None
    name = Path(item.file).name
    return f"{item.file}: {item.error.message.removeprefix(name).lstrip(': ')}"


def _watched(scores: Iterator[FileScore], failed: list[FileScore]) -> Iterator[FileScore]:
    for item in scores:
        if item.error is not None:
            failed.append(item)
        yield item


def _remote(
    url: str,
    api_key: str | None,
    paths: Sequence[Path],
    model: str,
    rate: int | None,
    progress: FileProgress,
) -> Iterator[FileScore]:
    from surnn.score import ScoreProgress
    from surnn_client import Client

    done = failed = 0
    seconds = 0.0
    with Client(url, api_key=api_key) as client:
        for item in client.score(paths, model=model, sample_rate=rate):
            done += 1
            failed += item.error is not None
            seconds += item.seconds
            progress.update(ScoreProgress(done, failed, seconds, ()))
            yield _converted(item)


def _converted(item: RemoteScore) -> FileScore:
    from surnn import Sparsity
    from surnn.score import FileError, FileScore, Segment

    return FileScore(
        file=item.file,
        model=item.model,
        labels=(),
        seconds=item.seconds,
        segments=tuple(Segment(s.label, s.start, s.end, s.score) for s in item.segments),
        sparsity=Sparsity(item.sparsity.open_rate, item.sparsity.updates, item.sparsity.possible),
        compute_ms=item.cost.compute_ms,
        error=FileError(item.error.code, item.error.message) if item.error else None,
    )


@contextmanager
def _out(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        yield file
