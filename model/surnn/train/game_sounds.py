"""Sounds of games and of a children's tool as data sets: noises, music and a few people's words.

    python -m surnn.train.game_sounds --out DIR \\
        --wad freedoom2.wad --cat opensfx.cat --zip public.zip --media Media/Sounds

All four are in Debian: packages `freedoom` (licence: BSD, three clauses), `openttd-opensfx`
(CC BY-SA 3.0, single sounds CC BY 3.0 or CC0), `0ad-data` (CC BY-SA 3.0) and `scratch` (its media:
CC BY-SA 3.0). Writes `noise_games`, `music_games` and `speech_games` into DIR, one FLAC file a
sound, at 16 kHz, and `clips.csv`. Sounds in which people use their voices are no noises, but for
coughs, sneezes and cries of babies; the music is without words; the speech is the orders of 0 A.D.
in Greek, Latin, Persian and a language of Sudan.
"""

from __future__ import annotations

import argparse
import csv
import io
import struct
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile
import soxr

from surnn.errors import InvalidInput
from surnn.types import Float32

__all__ = ["Sound", "cat_sounds", "media_sounds", "wad_sounds", "write", "zip_sounds"]

_RATE = 16_000
_MUSIC_SECONDS = 60.0
_VOICES = (
    "DSPL", "DSPD", "DSPOPAIN", "DSPODTH", "DSPOSIT", "DSOOF", "DSNOWAY",
    "DSSS", "DSRADIO", "DSBOSSIT", "DSVILATK", "opensfx-30",
)  # fmt: skip
"""What the names of sounds with human voices begin with."""
_ZIP_GROUPS = (
    ("audio/actor/fauna/", "noise", "animal"),
    ("audio/actor/mounted/death/", "noise", "animal"),
    ("audio/actor/human/death/", "", ""),
    ("audio/actor/", "noise", "work"),
    ("audio/ambient/building/amb_trade_13", "", ""),  # a market's voices
    ("audio/ambient/", "noise", "ambience"),
    ("audio/attack/", "noise", "weapon"),
    ("audio/interface/select/building/sel_temple", "", ""),  # chants
    ("audio/interface/", "noise", "signal"),
    ("audio/resource/", "noise", "work"),
    ("audio/music/", "music", "orchestra"),
    ("audio/voice/greek/", "speech", "greek"),
    ("audio/voice/latin/", "speech", "latin"),
    ("audio/voice/napatan/", "speech", "napatan"),
    ("audio/voice/persian/", "speech", "persian"),
)
"""Where in the archive of 0 A.D. is what: the first row that a path begins with counts."""
_MEDIA_GROUPS = (
    ("Animal/", "animal"),
    ("Human/BabyCry", "human"),
    ("Human/Cough", "human"),
    ("Human/Sneeze", "human"),
    ("Human/Slurp", "human"),
    ("Human/FingerSnap", "work"),
    ("Human/Footsteps", "work"),
    ("Effects/", "work"),
    ("Electronic/", "signal"),
)


@dataclass(frozen=True, slots=True)
class Sound:
    """One sound of an archive."""

    name: str
    samples: Float32
    """[n]"""
    rate: int
    game: str
    kind: str = "noise"
    """`noise`, `music` or `speech`: the data set that it belongs to."""
    group: str = "creature"
    """What sounds; of speech the language."""


def wad_sounds(path: Path) -> Iterator[Sound]:
    """The sounds of a WAD file: lumps DS..., 8-bit PCM. Raises `InvalidInput`.

    Format: "The Unofficial Doom Specs", chapter 2 and section 5-4.
    """
    data = path.read_bytes()
    if data[:4] not in (b"IWAD", b"PWAD"):
        raise InvalidInput(f"{path}: begins with {data[:4]!r}, expected a WAD file")
    count, table = struct.unpack_from("<ii", data, 4)
    for i in range(count):
        start, size, raw = struct.unpack_from("<ii8s", data, table + 16 * i)
        name = raw.split(b"\0")[0].decode("ascii")
        if not name.startswith("DS") or size <= 40:
            continue
        _, rate, samples = struct.unpack_from("<HHI", data, start)
        # Sixteen samples of padding on both sides.
        pcm = np.frombuffer(data, np.uint8, samples - 32, start + 24)
        yield Sound(name, pcm.astype(np.float32) / 128.0 - 1.0, rate, "freedoom")


def cat_sounds(path: Path) -> Iterator[Sound]:
    """The sounds of an OpenTTD sound archive: WAVE files behind a table of places and sizes."""
    data = path.read_bytes()
    # The upper bit says that names stand before the sounds.
    (first,) = struct.unpack_from("<I", data)
    count = (first & 0x7FFFFFFF) // 8
    if not 0 < count < 1000 or len(data) < 8 * count:
        raise InvalidInput(f"{path}: a table of {count} sounds, expected a sound archive")
    for i in range(count):
        place, size = (v & 0x7FFFFFFF for v in struct.unpack_from("<II", data, 8 * i))
        start = data.find(b"RIFF", place)
        wave, rate = _read(data[start : start + size])
        yield Sound(f"{path.stem}-{i:02}", wave, rate, "opensfx", group="machine")


def zip_sounds(path: Path) -> Iterator[Sound]:
    """The sounds of 0 A.D. (`public.zip`). Raises `InvalidInput`."""
    if not zipfile.is_zipfile(path):
        raise InvalidInput(f"{path}: no zip archive, expected the public.zip of 0 A.D.")
    with zipfile.ZipFile(path) as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".ogg")):
            _, kind, group = next((g for g in _ZIP_GROUPS if name.startswith(g[0])), ("", "", ""))
            if kind:
                wave, rate = _read(archive.read(name))
                inner = PurePosixPath(name).with_suffix("").parts[1:]
                yield Sound("-".join(inner), wave, rate, "0ad", kind, group)


def media_sounds(folder: Path) -> Iterator[Sound]:
    """The sounds that Scratch 1.4 comes with (`Media/Sounds`). Raises `InvalidInput`."""
    if not (folder / "Animal").is_dir():
        raise InvalidInput(f"{folder}: holds no folder Animal, expected Scratch's Media/Sounds")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        group = next((g for start, g in _MEDIA_GROUPS if name.startswith(start)), "")
        if group and path.suffix in (".wav", ".mp3"):
            wave, rate = _read(path.read_bytes())
            yield Sound(f"scratch-{path.stem}", wave, rate, "scratch", group=group)


def _read(data: bytes) -> tuple[Float32, int]:
    wave, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    return wave.mean(axis=1), int(rate)


def write(sounds: Iterable[Sound], out: Path) -> dict[str, int]:
    """Write the data sets, each name once; how many sounds of each kind there are."""
    rows: dict[str, list[tuple[str, str, str]]] = {}
    seen: set[str] = set()
    for sound in sounds:
        short = len(sound.samples) < 0.2 * sound.rate
        if sound.name.startswith(_VOICES) or sound.name in seen or short:
            continue
        seen.add(sound.name)
        wave = sound.samples
        if sound.kind == "music":
            wave = wave[: round(_MUSIC_SECONDS * sound.rate)]
        wave = soxr.resample(wave, sound.rate, _RATE)
        wave *= 0.25 / max(float(np.abs(wave).max()), 1e-4)
        folder = out / f"{sound.kind}_games"
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{sound.name}.flac", wave, _RATE, subtype="PCM_16")
        rows.setdefault(sound.kind, []).append((f"{sound.name}.flac", sound.game, sound.group))
    for kind, listed in rows.items():
        path = out / f"{kind}_games" / "clips.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["file", "game", "group"])
            table.writerows(listed)
    return {kind: len(listed) for kind, listed in rows.items()}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m surnn.train.game_sounds")
    parser.add_argument("--wad", type=Path, action="append", default=[])
    parser.add_argument("--cat", type=Path, action="append", default=[])
    parser.add_argument("--zip", type=Path, action="append", default=[])
    parser.add_argument("--media", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    readers = (
        (given.wad, wad_sounds),
        (given.cat, cat_sounds),
        (given.zip, zip_sounds),
        (given.media, media_sounds),
    )
    sounds = (sound for paths, read in readers for path in paths for sound in read(path))
    for kind, count in write(sounds, given.out).items():
        print(f"{count} sounds in {given.out / f'{kind}_games'}")


if __name__ == "__main__":
    main()
