"""Words spoken by a machine, as a data set of keywords and of words that are none.

    python -m surnn.train.spoken_words --out DIR/kws_flite

The voices are those of CMU Flite (Debian package `flite`; its licence permits any use). They are no
substitute for people, but they say what few of the recorded people say, the digits, in other voices
and with all frequencies, and hundreds of short words that must not be taken for one of the list:
many of them differ in one sound. Writes one FLAC file a voice, at 16 kHz, and `clips.csv`.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from surnn.errors import InvalidInput
from surnn.types import Float32

__all__ = ["OTHERS", "VOICES", "WORDS", "Saying", "sayings", "write"]

_RATE = 16_000
_PAUSE = 0.3
"""Seconds of silence around each word."""
VOICES = ("awb", "kal16", "rms", "slt")
_WORDS = """
yes no up down left right on off stop go zero one two three four five six seven eight nine
"""
# One sound away from a word of the list, or nearly; none that sounds the same.
_NEAR = """
yet yell yellow guess mess less chess nose note snow show throw low toe dough bow joe nope cup
pup cap hop town gown drown noun doubt dawn lift laugh lent let lap loft light ride rice bright
night kite write-up own an in and aunt awe of cough odd often stock shop step sock spot stuff
top gold goat glow grow ghost gone cold hero nero arrow narrow sun run gun once wonder tune
tooth shoe threw tree free thread through think fork form fort far floor force fall find fire
fight fife hive dive life strive wife sick fix sit mix socks sink seeks heaven eleven seventy
seventeen evening several eighty eighteen ate-it wait hate date ache late mine fine line
night-time knife night-gown nineteen ninety know-how
"""
# Of everyday speech and of commands.
_FAR = """
hello thanks please sorry maybe okay sure never always again today tomorrow morning water coffee
table window door house kitchen garden music radio lamp lights volume channel phone call answer
message letter number minute second hour week month year summer winter red blue green black
white brown big small fast slow hot open close start begin pause play next back forward turn
move push pull lock unlock help cancel confirm delete save send weather rain cloud storm river
mountain ocean island animal bird cat dog horse sheep cow mouse tiger happy angry tired hungry
bread butter cheese apple orange lemon sugar salt mother father brother sister baby doctor
teacher student paper pencil picture mirror money market city street bridge station train
airplane ship car bicycle wheel engine machine computer camera battery button signal system
hundred thousand million first third half double ten twelve twenty thirty marvin sheila visual
follow learn forest wow bed tall short hand head heart shoulder finger yesterday perhaps because
before after under over between without something nothing nobody everyone question reason story
winner yard zebra zone unit upper downtown going gopher onto office offer stopper leftover
rightly oneself fortune sixty
"""
WORDS = tuple(_WORDS.split())
OTHERS = (*_NEAR.split(), *_FAR.split())
_PACES = (0.8, 0.9, 1.0, 1.1, 1.25, 1.45)
_PITCHES = (0.88, 1.0, 1.15)
_HERTZ = {"awb": 120.0, "kal16": 100.0, "rms": 95.0, "slt": 170.0}
"""About how high the voices speak."""


@dataclass(frozen=True, slots=True)
class Saying:
    """One word, and how it is to be said."""

    word: str
    voice: str
    pace: float
    """How many times as long it takes."""
    pitch: float
    """How many times as high."""


def sayings(seed: int = 1, each: int = 6, others: int = 2) -> list[Saying]:
    """Every word of the list `each` times by each voice, every other one `others` times by one."""
    rng = np.random.default_rng([seed, 73])
    manners = [(pace, pitch) for pace in _PACES for pitch in _PITCHES]
    if each > len(manners):
        raise InvalidInput(f"each is {each}, expected at most {len(manners)}")
    found = []
    for voice in VOICES:
        for word in WORDS:
            chosen = rng.choice(len(manners), each, replace=False)
            found += [Saying(word, voice, *manners[i]) for i in chosen]
    for word in OTHERS:
        for voice in rng.choice(VOICES, others, replace=False):
            pace, pitch = manners[int(rng.integers(len(manners)))]
            found.append(Saying(word, str(voice), pace, pitch))
    return found


def say(saying: Saying, program: str, folder: Path) -> Float32:
    """One word [n] at 16 kHz."""
    path = folder / "word.wav"
    hertz = _HERTZ[saying.voice] * saying.pitch
    subprocess.run(
        [
            program,
            "-voice", saying.voice,
            "--setf", f"duration_stretch={saying.pace}",
            "--setf", f"int_f0_target_mean={hertz:.0f}",
            "-t", saying.word.replace("-", " "),
            "-o", str(path),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    wave, rate = soundfile.read(path, dtype="float32")
    return np.asarray(soxr.resample(wave, rate, _RATE), np.float32)


def write(found: Sequence[Saying], out: Path, program: str = "flite") -> int:
    """Write the words; how many. Raises `InvalidInput` where there is no such program."""
    where = shutil.which(program)
    if where is None:
        raise InvalidInput(f"no program {program!r}, expected CMU Flite (Debian package flite)")
    out.mkdir(parents=True, exist_ok=True)
    quiet = np.zeros(round(_PAUSE * _RATE), np.float32)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for voice in dict.fromkeys(s.voice for s in found):
            waves, position = [], 0
            for saying in (s for s in found if s.voice == voice):
                wave = say(saying, where, Path(folder))
                wave = np.concatenate([quiet, wave * (0.25 / max(np.abs(wave).max(), 1e-4)), quiet])
                end = position + len(wave)
                rows.append((f"{voice}.flac", position, end, saying.word, voice))
                waves.append(wave)
                position = end
            soundfile.write(out / f"{voice}.flac", np.concatenate(waves), _RATE, subtype="PCM_16")
    with (out / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "start_sample", "end_sample", "word", "speaker"])
        table.writerows(rows)
    return len(rows)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m surnn.train.spoken_words")
    parser.add_argument("--flite", default="flite")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    print(f"{write(sayings(), given.out, given.flite)} words in {given.out}")


if __name__ == "__main__":
    main()
