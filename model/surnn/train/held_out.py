"""Held-out recordings of a config, written to a folder: what `surnn eval` and peers hear.

    python -m surnn.train.held_out model/configs/vad.toml --data DIR --role test --out FOLDER

The sets that the config keeps for this role, and no others, are used. Those of a keywords config
are the streams of `keywords_valid`, their group in a column `group`. Those of a voice config are
mixed as in `voice_valid`, with fixed seeds; `segments.csv` holds the speech, and in further
columns what each recording is:

    set, language   speech in noise and music at 0 to 20 dB
    snr_db          the same, of the first set alone; `clean` without noise
    line            `telephone`: at 10 dB, 300 to 3400 Hz, mu-law or A-law; `opus`, `vorbis`, `mp3`:
                    the first set at 10 dB, through these codecs at about their lowest rates
    level_dbfs      peak level of the first set at 10 dB; `dc`: the same with a constant added
    alone           no speech: every noise, every piece of music, or silence
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from surnn.errors import InvalidConfig
from surnn.segments import Segment
from surnn.train.audio_codec import CODECS, coded
from surnn.train.audio_mix import Mixer, Sources, held_out_mix
from surnn.train.config import Config, read_config
from surnn.train.config_data import AudioConfig, DataSet
from surnn.train.recordings import Pool, read_pool, read_set
from surnn.train.synthetic import coloured_noise
from surnn.types import Float32

__all__ = ["FIELDS", "Recording", "recordings", "word_recordings", "write"]

FIELDS = ("set", "language", "snr_db", "line", "level_dbfs", "dc", "alone")
_SNRS = (0.0, 5.0, 10.0, 20.0)
_SECONDS = 10.0
_LEVELS = (0.0, -10.0, -20.0, -30.0, -40.0, -50.0)
_OFFSETS = (0.01, 0.05, 0.2)
_HOP = 160
_TURNS = 2
_SEEDS = {"valid": 30_000, "test": 40_000}


@dataclass(slots=True)
class Recording:
    """One held-out recording."""

    name: str
    samples: Float32
    segments: list[Segment] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)


class _Maker:
    def __init__(self, audio: AudioConfig, root: Path, role: str, rate: int, streams: int) -> None:
        self.rate, self.streams, self.root = rate, streams, root
        self.seed = _SEEDS[role]
        held = [s for s in audio.sets if s.role == role]
        self.speech = [s for s in held if s.kind == "speech"]
        self.sets = {k: [s for s in held if s.kind == k] for k in ("noise", "music")}
        if not self.speech or not self.sets["noise"]:
            raise InvalidConfig(f"the config keeps no speech or no noise for role {role!r}")
        self.noise, self.music = (read_pool(root, self.sets[k], rate) for k in ("noise", "music"))

    def mixes(self, speech: Pool, snr: float | None, count: int, telephone: float = 0.0) -> Mixer:
        """Mixtures like those of `voice_valid`, of a seed of their own."""
        self.seed += 1
        settings = held_out_mix(
            snr, music=0.2 if self.music else 0.0, telephone=telephone, a_law=0.5
        )
        return Mixer(
            Sources(speech, self.noise, self.music, Pool((), ())),
            settings,
            rate=self.rate,
            hop=_HOP,
            frames=round(_SECONDS * self.rate / _HOP),
            seed=self.seed,
        )

    def all(self) -> Iterator[Recording]:
        for first, item in ((item is self.speech[0], item) for item in self.speech):
            for language, voice, part in _languages(item):
                yield from self._speech(
                    item, language, voice, read_pool(self.root, [part], self.rate), first
                )
        yield from self._levels(read_pool(self.root, [self.speech[0]], self.rate))
        for kind, sets in self.sets.items():
            for item in sets:
                yield from self._alone(kind, item)
        yield from self._silence()
        yield from self._coded(read_pool(self.root, [self.speech[0]], self.rate))

    def _speech(
        self, item: DataSet, language: str, voice: str, pool: Pool, first: bool
    ) -> Iterator[Recording]:
        count = 2 * self.streams if first else self.streams
        name = item.folder + (f"-{voice}" if voice else "")
        for snr in (None, *_SNRS):
            mixer = self.mixes(pool, snr, count)
            for i in range(count):
                about = {} if snr is None else {"set": item.folder, "language": language}
                if first:
                    about["snr_db"] = "clean" if snr is None else f"{snr:g}"
                mixed = mixer.clip(i)
                label = "clean" if snr is None else f"{snr:g}dB"
                yield Recording(f"{name}-{label}-{i}", mixed.samples, mixed.segments, about)
        mixer = self.mixes(pool, 10.0, count, telephone=1.0)
        for i in range(-(-count // 2)):
            mixed = mixer.clip(i)
            about = {"line": "telephone"}
            yield Recording(f"{name}-telephone-{i}", mixed.samples, mixed.segments, about)

    def _levels(self, pool: Pool) -> Iterator[Recording]:
        mixer = self.mixes(pool, 10.0, self.streams)
        for i in range(self.streams):
            mixed = mixer.clip(i)
            wave = mixed.samples / np.float32(max(float(np.abs(mixed.samples).max()), 1e-9))
            for level in _LEVELS:
                samples = wave * np.float32(10.0 ** (level / 20.0))
                about = {"level_dbfs": f"{level:g}"}
                yield Recording(f"level{level:g}-{i}", samples, mixed.segments, about)
            for offset in _OFFSETS:
                samples = wave * np.float32(0.1) + np.float32(offset)
                about = {"dc": f"{offset:g}"}
                yield Recording(f"dc{offset:g}-{i}", samples, mixed.segments, about)

    def _alone(self, kind: str, item: DataSet) -> Iterator[Recording]:
        """All clips of a set one after another, in several orders and at other levels."""
        clips = read_set(self.root, item, self.rate)
        for turn in range(_TURNS):
            self.seed += 1
            rng = np.random.default_rng([self.seed, 1])
            parts = []
            for i in rng.permutation(len(clips)):
                wave = clips[i].samples.astype(np.float32)
                rms = max(float(np.sqrt(np.mean(np.square(wave)))), 1.0)
                wave *= np.float32(10.0 ** (rng.uniform(-50.0, -20.0) / 20.0) / rms)
                parts.append(wave)
            about = {"alone": kind}
            yield Recording(
                f"{kind}-{item.folder}-{len(clips)}-{turn}", np.concatenate(parts), [], about
            )

    def _silence(self) -> Iterator[Recording]:
        """Nothing at all, the last bit of a converter, and a quiet room."""
        count = round(60.0 * self.rate)
        rng = np.random.default_rng(self.seed)
        quiet = coloured_noise(rng, count, -4.5, 0.0, self.rate) * np.float32(10.0**-3.5)
        white = rng.standard_normal(count, dtype=np.float32) * np.float32(10.0**-4.0)
        for name, wave in (
            ("digital silence", np.zeros(count, np.float32)),
            ("white noise at -80 dBFS", white),
            ("room tone at -70 dBFS", quiet),
        ):
            yield Recording(name.replace(" ", "_"), wave, [], {"alone": name})

    def _coded(self, pool: Pool) -> Iterator[Recording]:
        mixer = self.mixes(pool, 10.0, self.streams)
        for i in range(self.streams):
            mixed = mixer.clip(i)
            for codec in CODECS:
                samples = coded(mixed.samples, codec, self.rate)
                yield Recording(f"{codec}-{i}", samples, mixed.segments, {"line": codec})


def _languages(item: DataSet) -> Iterator[tuple[str, str, DataSet]]:
    """A set by language: the language, the voice or language as the table names it, the part."""
    for column in ("language", "voice"):
        for value in item.where.get(column, ()):
            where = item.where | {column: (value,)}
            yield value[:2], value, item.model_copy(update={"where": where})
        if column in item.where:
            return
    yield "en", "", item


def recordings(
    audio: AudioConfig, root: Path, role: str, rate: int = 16_000, streams: int = 6
) -> Iterator[Recording]:
    """The recordings of a role, always the same ones.

    Raises `InvalidConfig` where the config keeps no speech or noise for it, `InvalidInput` or
    `InvalidAudio` for data sets that are not as described.
    """
    return _Maker(audio, root, role, rate, streams).all()


def word_recordings(config: Config, root: Path, role: str) -> Iterator[Recording]:
    """The streams by which a keywords model is validated or tested.

    Raises `InvalidConfig` where the config keeps no words for the role, `InvalidInput` or
    `InvalidAudio` for data sets that are not as described.
    """
    # Imported here: torch.
    from surnn.train.keywords import background_of, sources, words_spec
    from surnn.train.word_streams import SEEDS, held_out_streams

    assert config.keywords is not None
    if not any(s.role == role and s.kind == "words" for s in config.keywords.sets):
        raise InvalidConfig(f"the config keeps no words for role {role!r}")
    spec = words_spec(config)
    held = sources(config.keywords, root, role, spec, background_of(config), config.seed)
    for i, stream in enumerate(held_out_streams(held, spec, SEEDS[role])):
        said = stream.words[0].label if stream.words else "none"
        name = f"{i:04d}-{said}"
        yield Recording(name, stream.samples, stream.words, {"group": stream.group})


def write(
    found: Iterator[Recording], out: Path, rate: int = 16_000, fields: Sequence[str] = FIELDS
) -> int:
    """Write 16-bit FLAC files and `segments.csv` into a folder; how many files."""
    out.mkdir(parents=True, exist_ok=True)
    files = 0
    with (out / "segments.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "start_s", "end_s", "label", *fields])
        for one in found:
            files += 1
            samples = np.clip(np.round(one.samples * 32768.0), -32768, 32767).astype(np.int16)
            soundfile.write(out / f"{one.name}.flac", samples, rate)
            more = [one.about.get(name, "") for name in fields]
            rows = [[f"{s.start:.4f}", f"{s.end:.4f}", s.label] for s in _joined(one.segments)]
            for row in rows or [["", "", ""]]:
                table.writerow([f"{one.name}.flac", *row, *more])
    return files


def _joined(segments: list[Segment]) -> list[Segment]:
    """Segments in order, those that touch or overlap as one."""
    out: list[Segment] = []
    for s in sorted(segments, key=lambda s: s.start):
        if out and s.start <= out[-1].end:
            out[-1] = Segment(out[-1].start, max(out[-1].end, s.end), s.label)
        else:
            out.append(s)
    return out


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m surnn.train.held_out")
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--role", choices=sorted(_SEEDS), default="test")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    config = read_config(given.config)
    rate = config.model.sample_rate
    if config.keywords is not None:
        found = word_recordings(config, given.data, given.role)
        files = write(found, given.out, rate, ("group",))
    elif config.audio is not None:
        files = write(recordings(config.audio, given.data, given.role, rate), given.out, rate)
    else:
        raise SystemExit(f"{given.config}: it has no [audio] and no [keywords] table")
    print(f"{files} recordings in {given.out}")


if __name__ == "__main__":
    main()
