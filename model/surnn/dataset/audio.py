"""A folder of audio and its labels, in any of the usual layouts, read and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import soundfile

from surnn.audiofile import AudioFile
from surnn.dataset.labelled import Labelled, check_labels, check_overlaps
from surnn.dataset.marks import read_audacity, read_rttm
from surnn.dataset.options import Labelling, Layout
from surnn.errors import InvalidInput
from surnn.segments import Segment, check_segments, read_fields, read_segments

__all__ = ["audio_files", "find_layout", "read_audio"]


@dataclass(slots=True)
class _Labels:
    """What the label files say, by the name of the recording."""

    segments: dict[str, list[Segment]]
    sources: dict[str, Path]
    fields: Mapping[str, Mapping[str, str]]


def audio_files(folder: Path) -> list[str]:
    """Names of all audio files in a folder and its subfolders, relative to it, in order.

    Raises `InvalidInput` when there is no folder, or no audio in it.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is not a folder, expected one with audio and segments.csv")
    endings = {f".{name.lower()}" for name in soundfile.available_formats()}
    endings = (endings | {".aif", ".aifc", ".opus", ".oga"}) - {".raw"}
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in endings and not path.name.startswith(".") and path.is_file()
    )
    if not names:
        raise InvalidInput(f"{folder} holds no audio, expected WAV, FLAC, Ogg or MP3 files")
    return names


def find_layout(folder: Path, names: Sequence[str], labelling: Labelling) -> Layout:
    """The layout that was asked for, or the one that the folder looks like.

    Raises `InvalidInput` naming what was looked for.
    """
    if labelling.layout is not None:
        return labelling.layout
    if (folder / labelling.table).is_file():
        return Layout.SEGMENTS
    if any(folder.rglob("*.rttm")):
        return Layout.RTTM
    if any((folder / name).with_suffix(".txt").is_file() for name in names):
        return Layout.AUDACITY
    if all("/" in name for name in names):
        return Layout.FOLDERS
    raise InvalidInput(
        f"{folder} holds audio and no labels, expected {labelling.table}, .rttm files, "
        "label tracks (call.txt for call.wav) or one folder for each label"
    )


def read_audio(
    folder: Path,
    labelling: Labelling | None = None,
    *,
    labels: Sequence[str] | None = None,
    sample_rate: int | None = None,
    exclusive: bool | None = None,
) -> list[Labelled]:
    """Every audio file of a folder with its segments, in the order of their names.

    Args:
        folder: audio at any depth.
        labelling: how the labels are read.
        labels: those that a model has; None: any.
        sample_rate: of the model; recordings of a lower rate are refused unless `upsample` is
            set. None: any.
        exclusive: at most one label may hold at a time; False: segments of one label may not
            overlap; None: they may.

    Raises `InvalidInput` or `InvalidAudio` naming file and line.
    """
    labelling = labelling or Labelling()
    names = audio_files(folder)
    layout = find_layout(folder, names, labelling)
    found = _read_labels(folder, names, layout, labelling)
    recordings = []
    for name in names:
        with AudioFile(folder / name, name) as audio:
            seconds, rate = audio.frames / audio.sample_rate, audio.sample_rate
        if sample_rate is not None and rate < sample_rate and not labelling.upsample:
            raise InvalidInput(
                f"{folder / name}: {rate} samples per second, expected at least {sample_rate} "
                "(a lower model.sample_rate, or labels.upsample = true, takes it)"
            )
        segments = found.segments.get(name, [])
        if layout is Layout.FOLDERS:
            segments = [Segment(0.0, seconds, PurePosixPath(name).parts[0], 0)]
        source = found.sources.get(name, folder / name)
        if labelling.call is not None:
            segments = _united(segments, labelling.call)
        if labels is not None:
            if layout is Layout.FOLDERS and segments[0].label not in labels:
                raise InvalidInput(
                    f"{folder / name}: lies in folder {segments[0].label!r}, "
                    f"expected one of {list(labels)}"
                )
            check_labels(source, segments, labels)
        check_segments(source, {name: segments}, {name: seconds})
        if exclusive is not None:
            check_overlaps(source, segments, exclusive=exclusive)
        fields = found.fields.get(name, {})
        recordings.append(
            Labelled(name, folder / name, seconds, rate, tuple(segments), source, fields)
        )
    return recordings


def _read_labels(
    folder: Path, names: Sequence[str], layout: Layout, labelling: Labelling
) -> _Labels:
    if layout is Layout.FOLDERS:
        for name in names:
            if "/" not in name:
                raise InvalidInput(
                    f"{folder / name}: lies in no folder, expected one named after its label"
                )
        return _Labels({}, {}, {})
    if layout is Layout.SEGMENTS:
        table = folder / labelling.table
        segments = read_segments(table)
        _all_there(table, segments, set(names), folder)
        return _Labels(segments, dict.fromkeys(names, table), read_fields(table))
    if layout is Layout.RTTM:
        return _rttm(folder, names)
    if layout is Layout.AUDACITY:
        return _audacity(folder, names)
    raise InvalidInput(f"layout {layout.value!r} is for sensor tables, but {folder} holds audio")


def _rttm(folder: Path, names: Sequence[str]) -> _Labels:
    stems = _stems(folder, names)
    labels = _Labels({}, {}, {})
    for path in sorted(folder.rglob("*.rttm")):
        for stem, segments in read_rttm(path).items():
            name = stems.get(stem)
            if name is None:
                raise InvalidInput(f"{path}:{segments[0].line}: no audio file {stem!r} in {folder}")
            if name in labels.sources:
                raise InvalidInput(
                    f"{path}:{segments[0].line}: {stem!r} has segments in "
                    f"{labels.sources[name].name} too, expected one file"
                )
            labels.segments[name], labels.sources[name] = segments, path
    if not labels.sources:
        raise InvalidInput(f"{folder} holds no segments in .rttm files, expected some")
    return labels


def _audacity(folder: Path, names: Sequence[str]) -> _Labels:
    labels = _Labels({}, {}, {})
    for name in names:
        track = (folder / name).with_suffix(".txt")
        if not track.is_file():
            raise InvalidInput(
                f"{folder / name}: no label track {track.name} beside it "
                "(an empty one says that it holds nothing)"
            )
        labels.segments[name], labels.sources[name] = read_audacity(track), track
    return labels


def _stems(folder: Path, names: Sequence[str]) -> dict[str, str]:
    stems: dict[str, str] = {}
    for name in names:
        stem = PurePosixPath(name).stem
        if stem in stems:
            raise InvalidInput(
                f"{folder / name}: {stems[stem]} has the same name without ending, "
                "expected names that .rttm files can tell apart"
            )
        stems[stem] = name
    return stems


def _all_there(
    table: Path, segments: Mapping[str, Sequence[Segment]], names: set[str], folder: Path
) -> None:
    for name, rows in segments.items():
        if name not in names:
            raise InvalidInput(f"{table}:{rows[0].line}: no audio file {name!r} in {folder}")


def _united(segments: Sequence[Segment], label: str) -> list[Segment]:
    """All segments as one label, overlapping ones as one."""
    out: list[Segment] = []
    for s in sorted(segments, key=lambda s: s.start):
        if out and s.start <= out[-1].end:
            last = out.pop()
            out.append(Segment(last.start, max(last.end, s.end), label, last.line))
        else:
            out.append(Segment(s.start, s.end, label, s.line))
    return out
