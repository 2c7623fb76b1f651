"""Data sets as pools of clips in memory: int16 at one rate, with segments where there is speech."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from surnn.errors import InvalidAudio, InvalidInput
from surnn.segments import Segment, check_segments, read_rows, read_segments
from surnn.train.config_data import DataSet
from surnn.types import Float32

__all__ = ["Clip", "Pool", "find_speech", "read_pool", "read_set"]

_MIN_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Clip:
    """A piece of one recording."""

    samples: NDArray[np.int16]
    segments: tuple[Segment, ...] = ()
    """Speech, in seconds from the clip's start."""
    name: str = ""
    word: str = ""
    """What is spoken, where the set says so."""
    speaker: str = ""
    folder: str = ""
    """The set it is from."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Clips of several sets, each set drawn as often as its weight says."""

    sets: tuple[tuple[Clip, ...], ...]
    weights: tuple[float, ...]
    _share: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        weights = np.array(self.weights, np.float64)
        object.__setattr__(self, "_share", np.cumsum(weights) / max(weights.sum(), 1e-12))

    def __bool__(self) -> bool:
        return bool(self.sets)

    def draw(self, rng: np.random.Generator) -> Clip:
        """One clip: first a set, then a clip of it."""
        clips = self.sets[int(np.searchsorted(self._share, rng.random(), side="right"))]
        return clips[int(rng.integers(len(clips)))]


def read_pool(root: Path, sets: Iterable[DataSet], rate: int) -> Pool:
    """Load sets. Raises `InvalidInput` or `InvalidAudio` naming file and line."""
    chosen = list(sets)
    return Pool(
        tuple(tuple(read_set(root, item, rate)) for item in chosen),
        tuple(item.weight for item in chosen),
    )


def read_set(root: Path, item: DataSet, rate: int) -> list[Clip]:
    """The clips of one set, in the order of its table.

    `clips.csv` cuts files by `start_sample` and `end_sample`; without it, or without these
    columns, a clip is a whole file.
    """
    folder = root / item.folder
    if not folder.is_dir():
        raise InvalidInput(f"no data set {item.folder!r} in {root}")
    rows = _rows(folder)
    rows = [row for row in rows if item.files is None or row["file"] in item.files]
    for column, values in item.where.items():
        rows = [row for row in rows if row.get(column) in values]
    if item.part_of is not None:
        chosen = _share(folder, rows, item.part_of, item.part)
        rows = [row for row in rows if row[item.part_of] in chosen]
    else:
        rows = rows[round(item.part[0] * len(rows)) : round(item.part[1] * len(rows))]
    if not rows:
        raise InvalidInput(f"{folder}: no clip is left, expected some for {item.model_dump()}")

    audio = {name: _read(folder / name) for name in dict.fromkeys(row["file"] for row in rows)}
    segments: dict[str, list[Segment]] = {}
    table = folder / "segments.csv"
    if item.kind in ("speech", "words") and not item.find_speech:
        segments = read_segments(table)
        durations = {name: len(samples) / found for name, (samples, found) in audio.items()}
        named = {name: rows for name, rows in segments.items() if name in audio}
        check_segments(table, named, durations)
    clips = []
    for row in rows:
        samples, found = audio[row["file"]]
        first = _whole(folder, row, "start_sample", 0)
        last = _whole(folder, row, "end_sample", len(samples))
        if not 0 <= first < last <= len(samples):
            raise InvalidInput(
                f"{folder}/clips.csv:{row['line']}: samples {first} to {last}, "
                f"but {row['file']} holds {len(samples)}"
            )
        if last - first < _MIN_SECONDS * found:
            continue
        piece = samples[first:last]
        if found != rate:
            piece = soxr.resample(piece, found, rate)
        if item.find_speech:
            speech = find_speech(piece.astype(np.float32) / 32768.0, rate)
        else:
            speech = _cut(segments.get(row["file"], ()), first / found, last / found)
        if item.kind not in ("speech", "words") or speech:
            word = "" if item.word is None else _word(folder, row, item)
            who = row.get("speaker", "")
            wave = np.ascontiguousarray(piece)
            clips.append(Clip(wave, tuple(speech), row["file"], word, who, item.folder))
    if not clips:
        raise InvalidInput(f"{folder}: no clip holds speech")
    return clips


def _share(
    folder: Path, rows: Sequence[dict[str, str]], column: str, part: tuple[float, float]
) -> set[str]:
    """A share of the values of a column, in an order that is mixed and always the same."""
    if column not in rows[0]:
        raise InvalidInput(f"{folder}: no column {column!r}, expected one of {sorted(rows[0])}")
    values = sorted(
        {row[column] for row in rows}, key=lambda v: hashlib.sha256(v.encode()).digest()
    )
    return set(values[round(part[0] * len(values)) : round(part[1] * len(values))])


def _word(folder: Path, row: dict[str, str], item: DataSet) -> str:
    if item.word not in row:
        raise InvalidInput(f"{folder}: no column {item.word!r}, expected one of {sorted(row)}")
    word = row[item.word]
    return item.names.get(word, word)


def find_speech(samples: Float32, rate: int) -> list[Segment]:
    """Speech in a clean clip by energy: for sets that come without segments.

    25 ms windows every 10 ms, loud within 25 dB of the loudest tenth and 8 dB over the quietest;
    gaps under 0.2 s closed, 30 ms added on both sides.
    """
    hop, window = rate // 100, rate // 40
    if len(samples) < window:
        return []
    power = np.lib.stride_tricks.sliding_window_view(np.square(samples), window)[::hop].mean(-1)
    level = 10.0 * np.log10(power + 1e-12)
    low, high = np.percentile(level, [10, 95])
    loud = level > max(high - 25.0, min(low + 8.0, high - 6.0))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(np.int8)))
    spans: list[list[float]] = []
    for start, end in edges.reshape(-1, 2) / 100.0:
        if spans and start - spans[-1][1] < 0.2:
            spans[-1][1] = end
        elif end - start >= 0.05:
            spans.append([start, end])
    seconds = len(samples) / rate
    return [
        Segment(max(0.0, start - 0.03), min(seconds, end + 0.045), "speech") for start, end in spans
    ]


def _rows(folder: Path) -> list[dict[str, str]]:
    for name in ("clips.csv", "files.csv"):
        if (folder / name).is_file():
            return [row | {"line": str(line)} for line, row in read_rows(folder / name, ("file",))]
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".flac", ".wav", ".ogg"})
    return [{"file": p.relative_to(folder).as_posix()} for p in files]


def _whole(folder: Path, row: dict[str, str], column: str, default: int) -> int:
    text = row.get(column) or str(default)
    if not text.isdecimal():
        raise InvalidInput(
            f"{folder}/clips.csv:{row['line']}: {column} is {text!r}, expected a whole number"
        )
    return int(text)


def _read(path: Path) -> tuple[NDArray[np.int16], int]:
    try:
        samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InvalidAudio(f"{path}: not readable as audio: {error}") from None
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1).astype(np.int16)
    return mono, int(rate)


def _cut(segments: Sequence[Segment], start: float, end: float) -> list[Segment]:
    return [
        Segment(max(s.start, start) - start, min(s.end, end) - start, s.label, s.line)
        for s in segments
        if s.end > start + 0.01 and s.start < end - 0.01 and s.label == "speech"
    ]
