"""Creatures, machines and doors out of two games' sound archives, as a data set of noises.

    python -m surnn.train.game_sounds --wad freedoom2.wad --cat opensfx.cat --out DIR/noise_games

Both archives are in Debian: package `freedoom` (licence: BSD, three clauses) and `openttd-opensfx`
(CC BY-SA 3.0, single sounds CC BY 3.0 or CC0). Sounds in which people use their voices are left
out. Writes one FLAC file a sound, at 16 kHz, and `clips.csv`.
"""

from __future__ import annotations

import argparse
import csv
import io
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from surnn.errors import InvalidInput
from surnn.types import Float32

__all__ = ["cat_sounds", "wad_sounds", "write"]

Sound = tuple[str, Float32, int]
"""Name, samples [n], samples per second."""
_RATE = 16_000
_VOICES = (
    "DSPL", "DSPD", "DSPOPAIN", "DSPODTH", "DSPOSIT", "DSOOF", "DSNOWAY",
    "DSSS", "DSRADIO", "DSBOSSIT", "DSVILATK", "opensfx-30",
)  # fmt: skip
"""What the names of sounds with human voices begin with."""


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
        yield name, pcm.astype(np.float32) / 128.0 - 1.0, rate


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
        wave, rate = soundfile.read(
            io.BytesIO(data[start : start + size]), dtype="float32", always_2d=True
        )
        yield f"{path.stem}-{i:02}", wave.mean(axis=1), rate


def write(sounds: Iterator[Sound], out: Path) -> int:
    """Write the sounds in which nobody speaks, each name once; how many."""
    out.mkdir(parents=True, exist_ok=True)
    names: dict[str, None] = {}
    for name, wave, rate in sounds:
        if name.startswith(_VOICES) or name in names or len(wave) < 0.2 * rate:
            continue
        names[name] = None
        wave = soxr.resample(wave, rate, _RATE)
        wave *= 0.25 / max(float(np.abs(wave).max()), 1e-4)
        soundfile.write(out / f"{name}.flac", wave, _RATE, subtype="PCM_16")
    with (out / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "game"])
        table.writerows(
            [f"{n}.flac", "freedoom" if n.startswith("DS") else "opensfx"] for n in names
        )
    return len(names)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m surnn.train.game_sounds")
    parser.add_argument("--wad", type=Path, action="append", default=[])
    parser.add_argument("--cat", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    sounds = [s for p in given.wad for s in wad_sounds(p)] + [
        s for p in given.cat for s in cat_sounds(p)
    ]
    print(f"{write(iter(sounds), given.out)} sounds in {given.out}")


if __name__ == "__main__":
    main()
