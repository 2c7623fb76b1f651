"""Scoring files: labels with times, from any number of recordings of any length.

Files run side by side as one batch and in constant memory: what is kept of a file is its
segments, and its frames only where they are asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from surnn.engine import Engine
from surnn.errors import InvalidConfig
from surnn.model import Model
from surnn.scan import FileError, FileScan, FileScore, FrameTrack, ScanOptions, Segment
from surnn.sources import Source

__all__ = [
    "FileError",
    "FileScore",
    "FrameTrack",
    "ScoreProgress",
    "Segment",
    "score_file",
    "score_files",
    "stream_file",
]

Thresholds = Mapping[str, Mapping[str, float]]

BLOCK = 1000
"""Frames of each file that one call of the runtime computes at most."""


@dataclass(frozen=True, slots=True)
class ScoreProgress:
    """How far the scoring of many files has come."""

    done: int
    """Files finished, with those that failed."""
    failed: int
    seconds: float
    """Length of all recordings scored so far."""
    active: tuple[str, ...]
    """Files being scored now."""


def score_file(
    model: Model,
    source: Source,
    *,
    thresholds: Thresholds | None = None,
    frames: bool = False,
    sample_rate: int | None = None,
) -> FileScore:
    """Score one file (see `score_files`). What is wrong with the file is in `FileScore.error`."""
    (score,) = score_files(
        model, [source], batch=1, thresholds=thresholds, frames=frames, sample_rate=sample_rate
    )
    return score


def score_files(
    model: Model,
    sources: Iterable[Source],
    *,
    batch: int = 8,
    thresholds: Thresholds | None = None,
    frames: bool = False,
    sample_rate: int | None = None,
    max_seconds: float | None = None,
    on_progress: Callable[[ScoreProgress], None] | None = None,
) -> Iterator[FileScore]:
    """Score files, each as soon as it is finished: short ones overtake long ones.

    Args:
        model: the model that hears them.
        sources: paths, or pairs of a name and an open binary file. Taken one by one, as places
            in the batch become free.
        batch: files that run side by side.
        thresholds: changes to the model's event rules, by label.
        frames: keep the probabilities and open rates of every frame.
        sample_rate: samples per second of files that do not say, such as tables; the model's
            own when None.
        max_seconds: longer files are refused; None: no limit.
        on_progress: called after every step of the batch.

    A file that cannot be read or scored gives a `FileScore` with an `error` and disturbs no
    other. Raises `InvalidConfig` at once when the thresholds or the batch cannot be used.
    """
    if batch < 1:
        raise InvalidConfig(f"batch is {batch}, expected at least 1")
    options = ScanOptions.check(model.spec, thresholds or {}, frames, sample_rate, max_seconds)
    return _run(Engine(model.runtime, capacity=batch), sources, batch, options, on_progress)


def stream_file(
    model: Model,
    source: Source,
    *,
    thresholds: Thresholds | None = None,
    frames: bool = False,
    sample_rate: int | None = None,
) -> Iterator[Segment | FileScore]:
    """Score one file, each segment as soon as its end is known; its `FileScore` comes last."""
    options = ScanOptions.check(model.spec, thresholds or {}, frames, sample_rate)
    return _stream(Engine(model.runtime), source, options)


def _stream(engine: Engine, source: Source, options: ScanOptions) -> Iterator[Segment | FileScore]:
    scan = FileScan(engine, source, options)
    try:
        while not scan.finished:
            _step(engine, [scan])
            yield from scan.take_segments()
        yield scan.score()
    finally:
        scan.close()


def _run(
    engine: Engine,
    sources: Iterable[Source],
    batch: int,
    options: ScanOptions,
    on_progress: Callable[[ScoreProgress], None] | None,
) -> Iterator[FileScore]:
    waiting = iter(sources)
    active: list[FileScan] = []
    done = failed = 0
    seconds = 0.0
    try:
        while True:
            for source in itertools.islice(waiting, batch - len(active)):
                active.append(FileScan(engine, source, options))
            if not active:
                return
            _step(engine, active)
            finished = [scan for scan in active if scan.finished]
            active = [scan for scan in active if not scan.finished]
            done += len(finished)
            failed += sum(scan.error is not None for scan in finished)
            seconds += sum(scan.seconds for scan in finished)
            for scan in finished:
                scan.close()
            if on_progress is not None:
                running = seconds + sum(scan.seconds for scan in active)
                on_progress(
                    ScoreProgress(done, failed, running, tuple(scan.file for scan in active))
                )
            for scan in finished:
                yield scan.score()
    finally:
        for scan in active:
            scan.close()


def _step(engine: Engine, scans: list[FileScan]) -> None:
    """Compute the next block of every file, as one batch."""
    for scan in scans:
        scan.fill(BLOCK)
    ready = [(scan, scan.session) for scan in scans if scan.session is not None]
    results = engine.step([session for _, session in ready], BLOCK)
    for (scan, _), result in zip(ready, results, strict=True):
        scan.absorb(result)
